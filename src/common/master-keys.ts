import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

/** What a derived key is for. Distinct labels give independent keys (RFC 5869, section 3.2). */
export type KeyPurpose =
  | 'password-pepper'
  | 'signing-key-encryption'
  | 'refresh-token'
  | 'mail-content'
  | 'account-identifier'
  | 'device-token'
  | 'audit-event'
  | 'audit-seal';

/** What became of a value that was to be sealed again: the new one, or why there is none. */
export type Resealed = { sealed: string } | 'newest' | 'unopenable';

const IV_BYTES = 12;
const TAG_BYTES = 16;

interface MasterKey {
  /** First 8 hex digits of a key derived for naming alone; tells which master key sealed a value, and nothing about it. */
  id: string;
  derived: (purpose: KeyPurpose) => Buffer;
}

/**
 * The keys derived from `MASTER_KEY`: HKDF-SHA-256 (RFC 5869) with one label per purpose, 32 bytes each.
 *
 * The first master key seals and signs; every key of the list opens and verifies, so that an operator can put a new one
 * in front and take the old one out once nothing needs it any more.
 */
export class MasterKeys {
  private readonly keys: MasterKey[];

  /** @param masterKeys 32 random bytes each, newest first, at least one. */
  constructor(masterKeys: Buffer[]) {
    if (masterKeys.length === 0) throw new Error('no master key');
    this.keys = masterKeys.map((secret) => {
      const derive = (label: string) =>
        Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `gatehouse/v1/${label}`, 32));
      const cache = new Map<KeyPurpose, Buffer>();
      return {
        id: derive('key-id').toString('hex').slice(0, 8),
        derived: (purpose) => {
          const known = cache.get(purpose) ?? derive(purpose);
          cache.set(purpose, known);
          return known;
        },
      };
    });
  }

  /**
   * Encrypts with AES-256-GCM under the newest key: `<key id>.<base64url of iv, ciphertext, tag>`.
   * @param context bound as additional data: the sealed value opens in no other context (another user's row, say).
   */
  seal(purpose: KeyPurpose, plaintext: string, context: string): string {
    const key = this.newest;
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', key.derived(purpose), iv);
    cipher.setAAD(Buffer.from(`${purpose}|${key.id}|${context}`));
    const sealed = Buffer.concat([iv, cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return `${key.id}.${sealed.toString('base64url')}`;
  }

  /** The plaintext of `seal`, or undefined when the key is not in the list, the context differs or a bit was changed. */
  open(purpose: KeyPurpose, sealed: string, context: string): string | undefined {
    const [keyId, payload] = sealed.split('.');
    const key = this.keys.find(({ id }) => id === keyId);
    const bytes = Buffer.from(payload ?? '', 'base64url');
    if (!key || bytes.length < IV_BYTES + TAG_BYTES) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', key.derived(purpose), bytes.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.from(`${purpose}|${key.id}|${context}`));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8');
    } catch {
      return undefined;
    }
  }

  /** Whether `sealed` is under the newest master key; if not, it is due to be sealed again. */
  isNewest(sealed: string): boolean {
    return sealed.split('.')[0] === this.newest.id;
  }

  /** Whether `sealed` is under a master key of the list. Whoever can write a row can claim so. */
  isKnown(sealed: string): boolean {
    return this.keys.some(({ id }) => id === sealed.split('.')[0]);
  }

  /** What is sealed under an older master key, under the newest one. */
  reseal(purpose: KeyPurpose, sealed: string, context: string): Resealed {
    if (this.isNewest(sealed)) return 'newest';
    const plaintext = this.open(purpose, sealed, context);
    return plaintext === undefined ? 'unopenable' : { sealed: this.seal(purpose, plaintext, context) };
  }

  /** HMAC-SHA-256 under the newest key, 32 bytes. */
  mac(purpose: KeyPurpose, data: Buffer): Buffer {
    return createHmac('sha256', this.newest.derived(purpose)).update(data).digest();
  }

  /** The HMACs under every key of the list, newest first: what is found by its mac is under one of them. */
  macs(purpose: KeyPurpose, data: Buffer): Buffer[] {
    return this.keys.map(({ derived }) => createHmac('sha256', derived(purpose)).update(data).digest());
  }

  /** Whether `mac` is the HMAC-SHA-256 of `data` under any key of the list, compared in constant time. */
  verifyMac(purpose: KeyPurpose, data: Buffer, mac: Buffer): boolean {
    return this.macs(purpose, data).some(
      (expected) => mac.length === expected.length && timingSafeEqual(mac, expected),
    );
  }

  /** The newest key for a purpose, 32 bytes, with the name of its master key: for what is signed and not sealed. */
  newestDerived(purpose: KeyPurpose): { id: string; secret: Buffer } {
    return { id: this.newest.id, secret: this.newest.derived(purpose) };
  }

  /** The key for a purpose of the master key with this name; undefined when that is not in the list. */
  derived(purpose: KeyPurpose, id: string): Buffer | undefined {
    return this.keys.find((key) => key.id === id)?.derived(purpose);
  }

  private get newest(): MasterKey {
    return this.keys[0] as MasterKey;
  }
}
