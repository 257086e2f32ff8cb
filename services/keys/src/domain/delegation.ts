import { scopesWithin } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import { cidrsWithin } from './cidr.js';

/** The bounds of the key that a caller came with; what it makes or strengthens may not go beyond them. */
export interface CallerBounds {
  readonly scopes: readonly string[] | null;
  readonly expiresAt: string | null;
  readonly ipAllow: readonly string[];
  readonly ipDeny: readonly string[];
  readonly audiences: readonly string[];
}

/** Throws unless the key, as the command would leave it, lies within the caller's own; a person without a key has no bounds. */
export function holdWithin(caller: CallerBounds | null, key: CallerBounds): void {
  if (caller === null) return;
  if (!scopesWithin(key.scopes, caller.scopes))
    throw new Refusal('SCOPE_EXCEEDS_OWNER', 'A key cannot give scopes that it does not have itself.');
  if (caller.expiresAt !== null && (key.expiresAt === null || key.expiresAt > caller.expiresAt))
    throw new Refusal('FORBIDDEN', `A key cannot make a key outlive it; it expires at ${caller.expiresAt}.`);
  const widerAllow =
    caller.ipAllow.length > 0 && (key.ipAllow.length === 0 || !cidrsWithin(key.ipAllow, caller.ipAllow));
  if (widerAllow || !cidrsWithin(caller.ipDeny, key.ipDeny))
    throw new Refusal('FORBIDDEN', 'A key cannot open addresses to another key that are closed to itself.');
  const widerAudience =
    caller.audiences.length > 0 &&
    (key.audiences.length === 0 || !key.audiences.every((audience) => caller.audiences.includes(audience)));
  if (widerAudience)
    throw new Refusal('FORBIDDEN', 'A key cannot open services to another key that are closed to itself.');
}

/** Refuses the scopes that the owner's role can do nothing with, and those of services without access; the first of each. */
export function holdScopesToOwner([scope]: readonly string[], [service]: readonly string[]): void {
  if (scope !== undefined)
    throw new Refusal('SCOPE_EXCEEDS_OWNER', `The owner’s role can do nothing with the scope ${scope}.`);
  if (service !== undefined)
    throw new Refusal('SERVICE_NOT_GRANTED', `The owner has no access to the service ${service}, which a scope names.`);
}
