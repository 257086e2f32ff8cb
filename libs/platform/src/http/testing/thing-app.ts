import {
  Body,
  type CanActivate,
  Controller,
  Delete,
  type ExecutionContext,
  Get,
  Global,
  HttpCode,
  Inject,
  Injectable,
  Module,
  type OnModuleInit,
  Param,
  Post,
  Query,
} from '@nestjs/common';
import { APP_GUARD, HttpAdapterHost } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyRequest } from 'fastify';
import { Refusal, StoreUnavailable } from '#libs/eventsourcing';
import { Access } from '../../auth/access.js';
import { IdField, IntegerField, JsonField, TextField, TextMapField } from '../../fields/fields.js';
import { Gatekeeper } from '../../auth/gatekeeper.js';
import { createLogger } from '../../telemetry/logger.js';
import { PageQuery } from '../../requests/paging.js';
import type { Principal } from '../../auth/principal.js';
import type { RequestContext } from '../../requests/request-context.js';
import { PositionGate } from '../../requests/request-contexts.js';
import { Authenticated, Open } from '../../auth/requires.js';
import { CONFIG, INSTALLATION_KEY, LOGGER } from '../../tokens.js';
import { TransportModule } from '../../transport.module.js';
import { createHttpApplication, type HttpOptions, registerRawRoutes } from '../application.js';
import { Context } from '../context.decorator.js';
import { ndjsonLines } from '../ndjson.js';
import { Streamed, TakesBulkBody } from '../route-options.js';

/** A small application that has one route of every kind, so that the way in can be tested without a store. */

class ThingBody {
  @TextField({ max: 100 })
  name!: string;
  @IntegerField({ min: 0, max: 9, optional: true })
  size?: number;
  @TextMapField({ keysMax: 8, key: { max: 63 }, value: { max: 255 }, optional: true })
  labels?: Record<string, string>;
  @JsonField({ sizeBytesMax: 1_000_000, keysMax: 64, optional: true })
  metadata?: Record<string, unknown>;
}

class ThingPath {
  @IdField()
  thingId!: string;
}

class ThingQuery extends PageQuery {
  @TextField({ max: 20, optional: true })
  q?: string;
}

/** Lets a test hold a request open, and see what handlers saw. */
@Injectable()
export class Probe {
  readonly calls: unknown[] = [];
  arrived: () => void = () => undefined;
  release: Promise<void> = Promise.resolve();
}

export const principal: Principal = {
  type: 'user',
  id: 'u1',
  via: 'key:key_0000000000000000',
  tenantId: 't1',
  grants: [],
  key: null,
};

@Authenticated()
@Controller('v1/things')
class ThingController {
  constructor(private readonly probe: Probe) {}

  @Post()
  async create(@Body() body: ThingBody, @Context() context: RequestContext): Promise<object> {
    this.probe.calls.push(body);
    this.probe.arrived();
    await this.probe.release;
    context.answered({ revision: 3, position: '00000000000000000007' });
    return { name: body.name, command: context.command() };
  }

  @Get()
  list(@Query() query: ThingQuery, @Context() context: RequestContext): object {
    return { limit: query.limit, q: query.q, minPosition: context.minPosition, ip: context.ip };
  }

  @Post('bulk')
  @HttpCode(200)
  @TakesBulkBody()
  bulk(@Body() body: ThingBody, @Context() context: RequestContext): object {
    return { requestId: context.requestId, size: JSON.stringify(body).length };
  }

  @Post('import')
  @HttpCode(200)
  @Streamed()
  async import(@Body() body: unknown, @Context() context: RequestContext): Promise<object> {
    let lines = 0;
    const failed: number[] = [];
    for await (const line of ndjsonLines(body))
      if ('refusal' in line) failed.push(line.line);
      else lines += 1;
    return { requestId: context.requestId, lines, failed };
  }

  @Get(':thingId')
  get(@Param() path: ThingPath, @Context() context: RequestContext): object {
    return { id: path.thingId, ifMatch: context.ifMatch ?? null };
  }

  @Post(':thingId/close')
  @HttpCode(200)
  close(@Param() path: ThingPath, @Context() context: RequestContext): object {
    return { requestId: context.requestId, closed: path.thingId };
  }

  @Delete(':thingId')
  @HttpCode(204)
  remove(@Param() path: ThingPath, @Context() context: RequestContext): void {
    switch (path.thingId) {
      case 'busy':
        throw new Refusal('OVERLOADED', `${context.requestId} came when all were busy.`, { retryAfterSeconds: 7 });
      case 'storeless':
        throw new StoreUnavailable('unreachable');
      case 'broken':
        throw new Error('connect postgres://u:hunter2@db failed');
    }
  }
}

@Open()
@Controller('v1/open')
class OpenController {
  @Get()
  get(): object {
    return { open: true };
  }
}

@Injectable()
class RawThings implements OnModuleInit {
  constructor(private readonly host: HttpAdapterHost) {}

  onModuleInit(): void {
    registerRawRoutes(this.host, (fastify) => {
      fastify.post('/v1/things/raw', { config: { quiet: true } }, (request) => {
        if (request.body === undefined) throw new Refusal('VALIDATION', 'The body is required.');
        return { raw: request.body };
      });
    });
  }
}

@Injectable()
class AnyoneGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    if (request.headers['x-api-key'] === undefined && !request.url.startsWith('/v1/things')) return true;
    request.admitted = { principal, access: Access.grantedByGuard(principal, []) };
    return true;
  }
}

class KnownPositions extends PositionGate {
  isPosition(text: string): boolean {
    return /^\d{20}$/.test(text);
  }

  checkPosition(position: string): Promise<void> {
    return position > '00000000000000000100'
      ? Promise.reject(new Refusal('POSITION_UNKNOWN', 'The position is beyond the head.'))
      : Promise.resolve();
  }
}

const logLines: string[] = [];
const logger = createLogger({ level: 'debug' }, { write: (line: string) => void logLines.push(line) });

@Global()
@Module({
  providers: [
    { provide: INSTALLATION_KEY, useValue: Buffer.alloc(32, 1) },
    { provide: PositionGate, useClass: KnownPositions },
    { provide: LOGGER, useValue: logger },
    { provide: CONFIG, useValue: { trustedProxies: [], tls: undefined } },
    // AnyoneGuard stands in for the guard, and nothing calls over gRPC here.
    { provide: Gatekeeper, useValue: undefined },
  ],
  exports: [INSTALLATION_KEY, PositionGate, LOGGER, CONFIG, Gatekeeper],
})
class FoundationModule {}

@Module({
  imports: [FoundationModule, TransportModule],
  controllers: [ThingController, OpenController],
  providers: [Probe, RawThings, { provide: APP_GUARD, useClass: AnyoneGuard }],
})
class ThingModule {
  constructor(@Inject(Probe) readonly probe: Probe) {}
}

export const json = { 'content-type': 'application/json' };
export const ndjson = { 'content-type': 'application/x-ndjson' };

export interface ThingApp {
  readonly app: NestFastifyApplication;
  readonly port: number;
  readonly url: string;
  readonly probe: Probe;
  readonly logLines: readonly string[];
  /** A body is JSON unless the headers say otherwise. */
  request(method: string, path: string, body?: string | Buffer, headers?: Record<string, string>): Promise<Response>;
  post(body: string | Buffer, headers?: Record<string, string>): Promise<Response>;
}

export async function startThings(
  limits: HttpOptions['limits'] = {},
  trustedProxies: readonly string[] = [],
): Promise<ThingApp> {
  const app = await createHttpApplication(ThingModule, { config: { trustedProxies, tls: undefined }, logger, limits });
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as { port: number };
  const url = `http://127.0.0.1:${port}`;
  const request: ThingApp['request'] = (method, path, body, headers = json) =>
    fetch(url + path, { method, headers, ...(body === undefined ? {} : { body }) });
  const post: ThingApp['post'] = (body, headers) => request('POST', '/v1/things', body, headers);
  return { app, port, url, probe: app.get(Probe), logLines, request, post };
}
