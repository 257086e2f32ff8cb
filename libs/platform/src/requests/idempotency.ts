import { v4 as uuidV4 } from 'uuid';
import {
  type Actor,
  type ActorPart,
  type CommandContext,
  commandIdOf,
  Refusal,
  requestHashOf,
} from '#libs/eventsourcing';
import type { Principal } from '../auth/principal.js';

const KEY_FORM = /^[\x21-\x7e]{1,255}$/;

/** The Idempotency-Key of a request, checked; undefined if none came. */
export function idempotencyKeyOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (KEY_FORM.test(header)) return header;
  throw headerRefusal('Idempotency-Key', 'must be 1 to 255 visible ASCII characters');
}

export function headerRefusal(name: string, message: string): Refusal {
  const location = `header.${name}`;
  return new Refusal('VALIDATION', `${location} ${message}.`, { errors: [{ location, message }] });
}

/** What of a request its commandId and its requestHash are made from. */
export interface CommandSource {
  readonly principal: Principal;
  readonly idempotencyKey: string | undefined;
  /** The array that the commandId is derived from, where a key came (docs/events.md, Commands). */
  readonly commandParts: (idempotencyKey: string) => readonly unknown[];
  readonly method: string;
  readonly pathAndQuery: string;
  readonly body: unknown;
  readonly installationKey: Buffer;
  readonly ip: string | null;
  readonly userAgent: string | null;
}

/** Texts that are stored as private parts, so their hash must not stand in the ledger for ever. */
const PRIVATE_TEXTS = ['displayName', 'email', 'comment'];

export interface CommandOptions {
  readonly comment?: string | null;
  readonly freeTextFields?: readonly string[];
}

/** The command of one request; the commandId is the same however often it is asked for. */
export function commandsOf(source: CommandSource): (options?: CommandOptions) => CommandContext {
  const { principal, idempotencyKey } = source;
  const commandId = idempotencyKey === undefined ? uuidV4() : commandIdOf(source.commandParts(idempotencyKey));
  return ({ comment = null, freeTextFields = [] } = {}) => ({
    commandId,
    correlationId: commandId,
    causationId: null,
    requestHash:
      idempotencyKey === undefined
        ? null
        : requestHashOf(
            source.installationKey,
            source.method,
            source.pathAndQuery,
            without(source.body, [...PRIVATE_TEXTS, ...freeTextFields]),
          ),
    actor: actorOf(principal),
    actorPart: actorPartOf(source, comment),
  });
}

const actorOf = ({ type, id, via }: Principal): Actor => ({ type, id, via });

function actorPartOf({ principal, ip, userAgent }: CommandSource, comment: string | null): ActorPart | null {
  if (principal.type === 'user') return { ip, userAgent, comment };
  return comment === null ? null : { ip: null, userAgent: null, comment };
}

function without(body: unknown, names: readonly string[]): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body ?? {};
  return Object.fromEntries(Object.entries(body).filter(([name]) => !names.includes(name)));
}
