import ipaddr from 'ipaddr.js';

/** Bytes of an IPv6 address that name a network: a customer has a whole /64, and every address in it. */
const NETWORK_BYTES = 8;

/**
 * Under what a client address is counted: an IPv4 address by itself, also where it is mapped into IPv6; an IPv6 address by
 * its /64. What is no address is counted as one.
 */
export function clientBlock(ip: string): string {
  if (!ipaddr.isValid(ip)) return 'unknown';
  const address = ipaddr.process(ip);
  if (address.kind() === 'ipv4') return address.toString();
  const network = address.toByteArray().map((byte, i) => (i < NETWORK_BYTES ? byte : 0));
  return `${ipaddr.fromByteArray(network).toString()}/64`;
}
