import { BlockList, isIP } from 'node:net';
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

// The lists of a key are asked at every request that it makes, and reading a CIDR costs more than all else there.
const compiled = new WeakMap<readonly string[], BlockList>();

function listOf(cidrs: readonly string[]): BlockList {
  const known = compiled.get(cidrs);
  if (known !== undefined) return known;
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network, prefixLength] = ipaddr.parseCIDR(cidr);
    list.addSubnet(network.toString(), prefixLength, network.kind());
  }
  compiled.set(cidrs, list);
  return list;
}

/** Deny wins. Where there is a list and no address is known, or it cannot be read, the answer is no. */
export function addressAllowed(ip: string | null, allow: readonly string[], deny: readonly string[]): boolean {
  if (allow.length === 0 && deny.length === 0) return true;
  const address = ip === null ? undefined : parse(ip);
  if (address === undefined) return false;
  const text = address.toString();
  const within = (cidrs: readonly string[]): boolean => listOf(cidrs).check(text, address.kind());
  return !(deny.length > 0 && within(deny)) && (allow.length === 0 || within(allow));
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
