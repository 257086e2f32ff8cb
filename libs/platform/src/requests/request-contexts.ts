import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Position, Refusal } from '#libs/eventsourcing';
import type { Admitted } from '../auth/admitted.js';
import { commandsOf, headerRefusal, idempotencyKeyOf } from './idempotency.js';
import type { Answered, RequestContext } from './request-context.js';
import { INSTALLATION_KEY } from '../tokens.js';

/** What a transport may ask about the positions that clients send. */
export abstract class PositionGate {
  /** Has the text the form of this store's positions? */
  abstract isPosition(text: string): boolean;
  /** Refuses with POSITION_UNKNOWN a position beyond the head of the store. */
  abstract checkPosition(position: Position): Promise<void>;
}

/** Longer ones are cut: the header is for people, and it is stored with every event that its sender causes. */
const USER_AGENT_LENGTH_MAX = 512;

/** An ETag that stands for no revision: it is well-formed, and nothing ever matches it. */
const NO_REVISION = -1;

/** If-Match as a revision; undefined without the header or with `*`, which asks only that the thing exists. */
export function revisionOf(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined;
  const tag = /^\s*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*$/.exec(header);
  if (tag === null) throw headerRefusal('If-Match', 'must be one entity tag in double quotes, or *');
  const [, weak, value = ''] = tag;
  // If-Match compares strongly (RFC 9110, 13.1.1): a weak tag never matches.
  return weak === undefined && /^(0|[1-9]\d{0,14})$/.test(value) ? Number(value) : NO_REVISION;
}

const textOf = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header.join(', ') : header;

/** Makes the one RequestContext that handlers see, from either transport. */
@Injectable()
export class RequestContexts {
  constructor(
    @Inject(INSTALLATION_KEY) private readonly installationKey: Buffer,
    @Inject(PositionGate) private readonly positions: PositionGate,
  ) {}

  /** Refuses a malformed Idempotency-Key, If-Match or position, and a position beyond the head. */
  async ofHttp(
    request: FastifyRequest,
    reply: FastifyReply,
    options: { refusesIdempotencyKey?: boolean } = {},
  ): Promise<RequestContext> {
    const { headers, method } = request;
    const idempotencyKey = idempotencyKeyOf(textOf(headers['idempotency-key']));
    if (options.refusesIdempotencyKey === true) refuseKey(idempotencyKey);
    const pathAndQuery = request.raw.url ?? '';
    const path = pathAndQuery.split('?', 1)[0];
    const { principal, access } = admittedOf(request);
    const ip = request.ip;
    const userAgent = headers['user-agent']?.slice(0, USER_AGENT_LENGTH_MAX) ?? null;
    const query = request.query as { minPosition?: string | string[] };
    return {
      requestId: request.id,
      principal,
      access,
      ip,
      userAgent,
      ifMatch: revisionOf(headers['if-match']),
      minPosition: await this.position({
        'query.minPosition': textOf(query.minPosition),
        'header.Steward-Position': textOf(headers['steward-position']),
      }),
      command: commandsOf({
        principal,
        idempotencyKey,
        commandParts: (key) => ['req', principal.tenantId, principal.id, method, path, key],
        method,
        pathAndQuery,
        body: request.body,
        installationKey: this.installationKey,
        ip,
        userAgent,
      }),
      answered: (answer) => {
        setHeaders(reply, answer);
      },
    };
  }

  /** The later one of the positions that came, by where each came from. */
  async position(given: Readonly<Record<string, string | undefined>>): Promise<Position | undefined> {
    let latest: Position | undefined;
    for (const [location, text] of Object.entries(given)) {
      if (text === undefined) continue;
      if (!this.positions.isPosition(text))
        throw new Refusal('POSITION_UNKNOWN', `${location} is no position.`, {
          errors: [{ location, message: 'is no position' }],
        });
      if (latest === undefined || text > latest) latest = text;
    }
    if (latest !== undefined) await this.positions.checkPosition(latest);
    return latest;
  }
}

export function refuseKey(idempotencyKey: string | undefined): void {
  if (idempotencyKey !== undefined)
    throw new Refusal('IDEMPOTENCY_KEY_REFUSED', 'What is streamed here is repeatable by itself; send no key.');
}

function admittedOf(request: FastifyRequest): Admitted {
  const { admitted } = request;
  if (admitted === undefined) throw new Error('A context was asked for on a route that no guard admits to.');
  return admitted;
}

function setHeaders(reply: FastifyReply, { revision, position, status }: Answered): void {
  if (revision !== undefined) reply.header('etag', `"${revision}"`);
  if (position !== undefined && position !== null) reply.header('steward-position', position);
  if (status !== undefined) reply.status(status);
}
