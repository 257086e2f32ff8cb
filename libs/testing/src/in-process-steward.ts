import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  type AppConfig,
  createLogger,
  createProgram,
  loadConfig,
  type Logger,
  openStorage,
  type Storage,
} from '#libs/platform';
import { stewardProgram } from '../../../services/steward/src/steward.program.js';
import { AdminBootstrap } from '../../../services/tenancy/src/tenancy.module.js';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  // A test reads whatever the route answers.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly body: any;
}

/**
 * Every service in the process of the test, on an embedded PostgreSQL in a scratch folder, asked over real HTTP. It is no
 * part of the index, because whoever imports it loads the whole program.
 */
export class InProcessSteward {
  /** By who holds them; `root` has the bootstrap admin's. */
  readonly tokens: Record<string, string> = {};

  private constructor(
    readonly app: NestFastifyApplication,
    readonly storage: Storage,
    private readonly scratch: string,
    private readonly url: string,
  ) {}

  static async start(env: Record<string, string> = {}): Promise<InProcessSteward> {
    const scratch = await mkdtemp(join(tmpdir(), 'steward-in-process-'));
    // Else the cluster would stand outside of the scratch folder when root runs the tests.
    await chmod(scratch, 0o711);
    const dataDir = join(scratch, 'data');
    const config = loadConfig({ STEWARD_DATA_DIR: dataDir, STEWARD_PORT: '0', STEWARD_GRPC_PORT: '0', ...env });
    const logger = createLogger({ level: 'error' });
    const storage = await openStorage(config, logger);
    try {
      return await InProcessSteward.on(storage, config, logger, scratch);
    } catch (error) {
      await storage.close();
      throw error;
    }
  }

  private static async on(
    storage: Storage,
    config: AppConfig,
    logger: Logger,
    scratch: string,
  ): Promise<InProcessSteward> {
    const app = await createProgram(stewardProgram, { storage, config, logger });
    await storage.start();
    await app.get(AdminBootstrap, { strict: false }).ensureBootstrap(() => undefined);
    await app.listen(0, '127.0.0.1');
    const steward = new InProcessSteward(app, storage, scratch, await app.getUrl());
    steward.tokens['root'] = (await readFile(join(config.dataDir, 'bootstrap-admin.key'), 'utf8')).trim();
    return steward;
  }

  async stop(): Promise<void> {
    await this.app.close();
    await rm(this.scratch, { recursive: true, force: true });
  }

  /** `who` is a name of `tokens`, or a token itself. A body that is a text goes out as NDJSON, any other as JSON. */
  readonly call = async (
    who: string,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<HttpAnswer> => {
    const contentType = typeof body === 'string' ? 'application/x-ndjson' : 'application/json';
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.tokens[who] ?? who}`,
        ...(body === undefined ? {} : { 'content-type': contentType }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const { status, headers: answered } = response;
    // What is no JSON document, such as CSV, is a text.
    const isJson = /[/+]json\b/.test(answered.get('content-type') ?? '');
    return { status, headers: answered, body: text === '' ? undefined : isJson ? (JSON.parse(text) as unknown) : text };
  };

  /** A call that must succeed. */
  readonly made = async (who: string, method: string, path: string, body?: unknown): Promise<HttpAnswer> => {
    const answer = await this.call(who, method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer;
  };
}
