import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** IP addresses and CIDR lists. An IPv4 address mapped into IPv6 is the IPv4 address. */

type Address = ipaddr.IPv4 | ipaddr.IPv6;

function parse(address: string): Address | undefined {
  return isIP(address) > 0 ? ipaddr.process(address) : undefined;
}

function contains(cidr: string, address: Address): boolean {
  const [network, prefixLength] = ipaddr.parseCIDR(cidr);
  return network.kind() === address.kind() && address.match(network, prefixLength);
}

/** Deny wins. Where there is a list and no address is known, or it cannot be read, the answer is no. */
export function addressAllowed(ip: string | null, allow: readonly string[], deny: readonly string[]): boolean {
  if (allow.length === 0 && deny.length === 0) return true;
  const address = ip === null ? undefined : parse(ip);
  if (address === undefined || deny.some((cidr) => contains(cidr, address))) return false;
  return allow.length === 0 || allow.some((cidr) => contains(cidr, address));
}

/** True if every address of the inner CIDR lies in the outer. */
export function cidrWithin(inner: string, outer: string): boolean {
  const [innerNetwork, innerLength] = ipaddr.parseCIDR(inner);
  const [, outerLength] = ipaddr.parseCIDR(outer);
  return innerLength >= outerLength && contains(outer, innerNetwork);
}

/** What one subscriber holds: an IPv4 address, or the /64 of an IPv6 address; text that is no address is itself. */
export function networkOf(ip: string): string {
  const address = parse(ip);
  if (address === undefined) return ip;
  if (address.kind() === 'ipv4') return address.toString();
  return (address as ipaddr.IPv6).parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(':');
}
