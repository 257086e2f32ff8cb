import { BlockList, isIP, isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** IP addresses and CIDR lists. An IPv4 address mapped into IPv6 is the IPv4 address. */

type Address = ipaddr.IPv4 | ipaddr.IPv6;

const DOTTED_TAIL = /:(\d+)\.(\d+)\.(\d+)\.(\d+)$/;

/**
 * An address as it stands, a mapped one still mapped; undefined if the text is none. Strict: ipaddr.js alone would take
 * `127.1`, `0x7f.1` and zone ids, and would read `::1.2.3.4` as mapped.
 */
export function parseIp(text: string): Address | undefined {
  if (isIP(text) === 0 || text.includes('%')) return undefined;
  const hexadecimal = text.replace(DOTTED_TAIL, (_, ...bytes: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(0, 4).map(Number);
    return `:${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
  return ipaddr.parse(hexadecimal);
}

function parse(text: string): Address | undefined {
  const address = parseIp(text);
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
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

/** What one subscriber holds: an IPv4 address, or the /64 of an IPv6 address; text that is no address is itself. */
export function networkOf(ip: string): string {
  // Without leading zeros there is one way to write it, and reading it would cost more than all else of the throttle.
  if (isIPv4(ip)) return ip;
  const address = parse(ip);
  if (address === undefined) return ip;
  if (address.kind() === 'ipv4') return address.toString();
  return (address as ipaddr.IPv6).parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(':');
}
