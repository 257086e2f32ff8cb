import ipaddr from 'ipaddr.js';
import { parseIp } from '#libs/platform';

/**
 * Address ranges of keys. One form per range, so that lists compare as text: RFC 5952 in lower case, `::ffff:` mapped
 * to v4, host bits zero, the prefix length always there. A v6 range never covers a v4 address or the other way round.
 */

/** `words` are 32-bit, one for v4, four for v6. */
export interface Address {
  readonly words: readonly number[];
}

const MAPPED_PREFIX_BITS = 96;

function wordsOf(bytes: readonly number[]): number[] {
  const words: number[] = [];
  for (let at = 0; at < bytes.length; at += 4)
    words.push(
      (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>>
        0,
    );
  return words;
}

/** The address of a client, a mapped one as v4; undefined if the text is no address. */
export function parseAddress(text: string): Address | undefined {
  const address = parseIp(text);
  if (address === undefined) return undefined;
  const plain = address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
  return { words: wordsOf(plain.toByteArray()) };
}

function masked(bytes: readonly number[], prefixBits: number): number[] {
  return bytes.map((byte, n) => {
    const keptBits = Math.min(Math.max(prefixBits - n * 8, 0), 8);
    return byte & (0xff << (8 - keptBits)) & 0xff;
  });
}

/** The one form of an address or a range; undefined if the text is neither, or reaches over the edge of the mapped space. */
export function canonicalCidr(text: string): string | undefined {
  const [addressText = '', prefixText, ...rest] = text.split('/');
  const address = parseIp(addressText);
  if (address === undefined || rest.length > 0) return undefined;
  const bytes = address.toByteArray();
  const bits = bytes.length * 8;
  if (prefixText !== undefined && !/^(0|[1-9][0-9]{0,2})$/.test(prefixText)) return undefined;
  const prefixBits = prefixText === undefined ? bits : Number(prefixText);
  if (prefixBits > bits) return undefined;
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress()) {
    if (prefixBits < MAPPED_PREFIX_BITS) return undefined;
    const v4PrefixBits = prefixBits - MAPPED_PREFIX_BITS;
    return `${new ipaddr.IPv4(masked(bytes.slice(12), v4PrefixBits)).toString()}/${v4PrefixBits}`;
  }
  const network = ipaddr.fromByteArray(masked(bytes, prefixBits));
  const networkText = network instanceof ipaddr.IPv6 ? network.toRFC5952String() : network.toString();
  return `${networkText}/${prefixBits}`;
}

interface Range {
  readonly words: readonly number[];
  readonly masks: readonly number[];
}

function rangeOf(cidr: string): Range {
  const slash = cidr.indexOf('/');
  const address = parseAddress(cidr.slice(0, slash));
  const prefixBits = Number(cidr.slice(slash + 1));
  if (address === undefined || slash < 0 || canonicalCidr(cidr) !== cidr)
    throw new TypeError(`${cidr} is not the canonical form of a range.`);
  const masks = address.words.map((_, n) => {
    const keptBits = Math.min(Math.max(prefixBits - n * 32, 0), 32);
    return keptBits === 0 ? 0 : (0xffffffff << (32 - keptBits)) >>> 0;
  });
  return { words: address.words, masks };
}

function covers(range: Range, address: Address): boolean {
  if (range.words.length !== address.words.length) return false;
  for (let n = 0; n < range.words.length; n += 1)
    if ((((address.words[n] ?? 0) ^ (range.words[n] ?? 0)) & (range.masks[n] ?? 0)) !== 0) return false;
  return true;
}

/** Compiled lists of allowed and denied ranges. */
export interface IpRules {
  /** Deny wins; with any list there, an address that is missing is denied. */
  allows(address: Address | undefined): boolean;
}

const everywhere: IpRules = { allows: () => true };

/** Takes canonical ranges only. */
export function compileIpRules(allow: readonly string[], deny: readonly string[]): IpRules {
  if (allow.length === 0 && deny.length === 0) return everywhere;
  const allowed = allow.map(rangeOf);
  const denied = deny.map(rangeOf);
  return {
    allows: (address) => {
      if (address === undefined || denied.some((range) => covers(range, address))) return false;
      return allowed.length === 0 || allowed.some((range) => covers(range, address));
    },
  };
}
