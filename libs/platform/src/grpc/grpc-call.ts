import { randomUUID } from 'node:crypto';
import { Metadata, type ServerUnaryCall } from '@grpc/grpc-js';
import { addressAllowed } from '../requests/addresses.js';
import type { PathParams } from '../auth/target.js';
import type { Answered } from '../requests/request-context.js';

/** One metadata entry as text; a repeated one is joined, as HTTP joins headers. */
export function headerOf(metadata: Metadata, name: string): string | undefined {
  const values = metadata.get(name);
  return values.length === 0 ? undefined : values.map(String).join(', ');
}

/** `ipv4:10.0.0.1:4711`, `[::1]:4711` or `10.0.0.1:4711` to the address; null for a socket without one. */
export function addressOfPeer(peer: string): string | null {
  const match = /^(?:ipv[46]:)?(?:\[([^\]]+)\]|([^:]+)):\d+$/.exec(peer);
  return match?.[1] ?? match?.[2] ?? null;
}

/** The caller's address: the first one from the right that is no trusted proxy. */
export function callerAddress(
  peer: string | null,
  forwardedFor: string | undefined,
  trustedProxies: readonly string[],
): string | null {
  const chain = [...(forwardedFor ?? '').split(',').map((one) => one.trim()), peer ?? ''].filter((one) => one !== '');
  for (const address of chain.reverse())
    if (trustedProxies.length === 0 || !addressAllowed(address, trustedProxies, [])) return address;
  return chain.at(-1) ?? null;
}

/** The request's fields that name things: what the policy asks about, and what the commandId is made from. */
export function idFieldsOf(request: unknown): PathParams {
  return Object.fromEntries(
    Object.entries(request as Record<string, unknown>).filter(
      (entry): entry is [string, string] =>
        typeof entry[1] === 'string' && entry[1] !== '' && /^(id|service|resource)$|Id$/.test(entry[0]),
    ),
  );
}

/** What of an answer goes into the trailers. */
export class GrpcAnswer {
  readonly requestId = randomUUID();
  readonly trailers = new Metadata();

  constructor(readonly call: Pick<ServerUnaryCall<unknown, unknown>, 'metadata' | 'getPeer' | 'getDeadline'>) {
    this.trailers.set('steward-request-id', this.requestId);
  }

  answered({ revision, position }: Answered): void {
    if (revision !== undefined) this.trailers.set('etag', `"${revision}"`);
    if (position !== undefined && position !== null) this.trailers.set('steward-position', position);
  }
}
