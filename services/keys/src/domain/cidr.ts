/** Containment of canonical CIDRs (RFC 5952, lower case, host bits zero, prefix length always there). */

interface Range {
  readonly bits: 32 | 128;
  readonly address: bigint;
  readonly prefixLength: number;
}

function addressOf(text: string): { bits: 32 | 128; address: bigint } {
  if (!text.includes(':'))
    return { bits: 32, address: text.split('.').reduce((sum, octet) => sum * 256n + BigInt(octet), 0n) };
  const [head = '', tail] = text.split('::');
  const groupsOf = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const left = groupsOf(head);
  const right = groupsOf(tail ?? '');
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  const groups = [...left, ...zeros, ...right];
  return { bits: 128, address: groups.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n) };
}

function rangeOf(cidr: string): Range {
  const slash = cidr.indexOf('/');
  return { ...addressOf(cidr.slice(0, slash)), prefixLength: Number(cidr.slice(slash + 1)) };
}

export function cidrWithin(inner: string, outer: string): boolean {
  const a = rangeOf(inner);
  const b = rangeOf(outer);
  const hostBits = BigInt(b.bits - b.prefixLength);
  return a.bits === b.bits && a.prefixLength >= b.prefixLength && a.address >> hostBits === b.address >> hostBits;
}

/** True if every range of `inner` lies within one range of `outer`. */
export function cidrsWithin(inner: readonly string[], outer: readonly string[]): boolean {
  return inner.every((cidr) => outer.some((one) => cidrWithin(cidr, one)));
}
