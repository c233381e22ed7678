import { domainToASCII } from 'node:url';

/** An address in the form that decides whether two are the same. */
export type CanonicalEmail = string & { readonly __brand: 'canonical e-mail' };

const MAX_ADDRESS_OCTETS = 254;
const MAX_LOCAL_OCTETS = 64;
const MAX_DOMAIN_OCTETS = 253;
/** RFC 5321 Dot-string, less the apostrophe and the backtick (OWASP Input Validation Cheat Sheet, "Email Address Validation"). */
const LOCAL_PART = /^[A-Za-z0-9!#$%&*+/=?^_{|}~-]+(?:\.[A-Za-z0-9!#$%&*+/=?^_{|}~-]+)*$/;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** `domainToASCII` decodes percent signs and cuts at slashes; of ASCII only these reach it. */
const DOMAIN_INPUT = /^(?:[A-Za-z0-9.-]|[^\x00-\x7f])+$/u;

/**
 * The canonical form of an e-mail address, or undefined when it is not one we accept.
 *
 * Letters A to Z become small, in the local part too: two accounts that differ in case alone are one person's mistake or
 * another's attack. The domain becomes its A-label form (RFC 5891). Dots and `+tags` stay: they are the provider's to read.
 * Accepted: ASCII local part of at most 64 octets, a domain of two or more labels (LDH, at most 63 octets each, the last
 * one not a number), at most 254 octets in all (RFC 5321, section 4.5.3.1, and erratum 1690). Refused: IP literals, a
 * trailing dot, white space anywhere.
 */
export function canonicalEmail(text: string): CanonicalEmail | undefined {
  if ([...text].length > MAX_ADDRESS_OCTETS) return undefined;
  const at = text.lastIndexOf('@');
  const local = text.slice(0, Math.max(at, 0));
  const domainText = text.slice(at + 1);
  if (local.length > MAX_LOCAL_OCTETS || !LOCAL_PART.test(local)) return undefined;
  if (!DOMAIN_INPUT.test(domainText) || !domainText.isWellFormed()) return undefined;
  const domain = domainToASCII(domainText);
  const labels = domain.split('.');
  const isHostName = labels.length >= 2 && labels.every((label) => LABEL.test(label));
  if (!isHostName || domain.length > MAX_DOMAIN_OCTETS || /^\d+$/.test(labels.at(-1) ?? '')) return undefined;
  const address = `${local.toLowerCase()}@${domain}`;
  return address.length <= MAX_ADDRESS_OCTETS ? (address as CanonicalEmail) : undefined;
}
