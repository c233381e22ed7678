import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** What is kept of a mail beside its message, in the members of Mailpit's API. */
export interface StoredMail {
  ID: string;
  Subject: string;
  To: { Address: string }[];
  /** ISO 8601. */
  Created: string;
  Text: string;
  HTML: string;
}

/** A folder of mails: for each an `.eml` file, which a mail program opens, and a `.json` file, which `DevOutboxController` reads. */
export class MailFolder {
  constructor(private readonly path: string) {}

  /** Writes both files of a mail, each whole or not at all; those of an earlier try are replaced. */
  async add(mail: StoredMail, message: Buffer): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const name = join(this.path, `${mail.Created.replace(/[-:]/g, '')}-${mail.ID}`);
    await writeWhole(`${name}.eml`, message);
    await writeWhole(`${name}.json`, JSON.stringify(mail, null, 2));
  }

  /** The mails, newest first. */
  async *all(): AsyncGenerator<StoredMail, void, void> {
    for (const name of await this.names()) yield this.read(name);
  }

  /** The mail with this id, a UUID; undefined when there is none. */
  async find(id: string): Promise<StoredMail | undefined> {
    const name = (await this.names()).find((candidate) => candidate.endsWith(`-${id}.json`));
    return name === undefined ? undefined : this.read(name);
  }

  private async names(): Promise<string[]> {
    const names = await readdir(this.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []; // nothing was sent yet
      throw error;
    });
    return names
      .filter((name) => name.endsWith('.json'))
      .sort()
      .reverse();
  }

  private async read(name: string): Promise<StoredMail> {
    return JSON.parse(await readFile(join(this.path, name), 'utf8')) as StoredMail;
  }
}

/** Written aside, then put in place, so that nobody reads half a file and none stays after a kill but a draft. */
async function writeWhole(path: string, content: Buffer | string): Promise<void> {
  const draft = `${path}.${randomUUID()}.draft`;
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
