/** The grants of the reference ledger: amounts by `service/resource`, times in ms. */

export type Amounts = Readonly<Record<string, number>>;

/** What is reserved or in use by one id, from its first command on. */
export interface Grant {
  id: string;
  user: string;
  amounts: Amounts;
  state: 'open' | 'live' | 'released' | 'expired';
  body: string | null;
  reserved: Amounts | null;
  committed: { amounts: Amounts; ref: string | null } | null;
  madeMs: number;
  endsMs: number;
  ref: string | null;
  reservedRef: string | null;
  knownMs: number;
  overMs: number;
}

export const same = (a: Amounts, b: Amounts): boolean =>
  JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
/** The ms that a UUIDv7 bears. */
export const timeIn = (id: string): number =>
  id[14] === '7' ? Number.parseInt(id.replace('-', '').slice(0, 12), 16) : 0;
