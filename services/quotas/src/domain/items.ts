import type { QuotaItem } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import { wrongField } from './wrong-field.js';
import { type Catalogue, knownResource } from './catalogue.js';

export const AMOUNT_MAX = Number.MAX_SAFE_INTEGER;
export const ITEMS_MAX = 16;

/** Text in the order of its UTF-16 units; names of services and resources are ASCII, where that is the order of bytes. */
export const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export const byName = (
  a: { readonly service: string; readonly resource: string },
  b: { readonly service: string; readonly resource: string },
): number => byText(a.service, b.service) || byText(a.resource, b.resource);

const sameName = (a: QuotaItem, b: QuotaItem): boolean => a.service === b.service && a.resource === b.resource;

/** The items as an event bears them: sorted, each of the catalogue, each amount from 1 to 2^53-1, no resource twice. */
export function normalItems(items: readonly QuotaItem[], catalogue: Catalogue): QuotaItem[] {
  if (items.length === 0) throw wrongField('items', 'must not be empty');
  if (items.length > ITEMS_MAX) throw new Refusal('TOO_MANY_ITEMS', `A request has at most ${ITEMS_MAX} items.`);
  for (const item of items) {
    if (item.amount === 0)
      throw new Refusal('ZERO_AMOUNT', `The amount of ${item.service}/${item.resource} is 0; leave it out.`);
    if (!Number.isInteger(item.amount) || item.amount < 0)
      throw wrongField('items', 'must have amounts that are whole numbers above 0');
    if (item.amount > AMOUNT_MAX)
      throw new Refusal('AMOUNT_OVERFLOW', `The amount of ${item.service}/${item.resource} is beyond 2^53-1.`);
  }
  const sorted = items.map(({ service, resource, amount }) => ({ service, resource, amount })).sort(byName);
  for (const [n, item] of sorted.entries()) {
    knownResource(catalogue, item);
    const next = sorted[n + 1];
    if (next !== undefined && sameName(item, next)) throw wrongField('items', 'must not name a resource twice');
  }
  return sorted;
}

export const sameItems = (a: readonly QuotaItem[], b: readonly QuotaItem[]): boolean =>
  a.length === b.length &&
  a.every((item, n) => {
    const other = b[n];
    return other !== undefined && sameName(item, other) && item.amount === other.amount;
  });

export const amountOf = (items: readonly QuotaItem[], name: { service: string; resource: string }): number =>
  items.find((item) => item.service === name.service && item.resource === name.resource)?.amount ?? 0;

/** What of `items` is above `others`, resource by resource; both normal. */
export const above = (items: readonly QuotaItem[], others: readonly QuotaItem[]): QuotaItem[] =>
  items.flatMap((item) => {
    const amount = item.amount - amountOf(others, item);
    return amount > 0 ? [{ ...item, amount }] : [];
  });
