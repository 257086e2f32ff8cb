import { Agent, request } from 'node:http';
import { setTimeout } from 'node:timers/promises';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  // A test reads whatever the route answers.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly body: any;
}

const parsed = (text: string): unknown => {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    // Metrics and the documentation are no JSON.
    return text;
  }
};

const ASKED_AGAIN_AFTER_MS = 100;
const ASKED_AGAIN_AFTER_MS_MAX = 5_000;
/** A bound for what hangs; a machine under load is at times ten times slower than a quiet one. */
const ASKED_MS_MAX = 150_000;

/** Requests over kept-alive sockets. A body that is a text goes out as NDJSON, any other as JSON. */
export class HttpClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });

  constructor(
    private readonly url: string,
    readonly rootToken: string,
  ) {}

  /** A token of null is no credential at all. What cannot be answered now, on a machine under load, is asked again. */
  async call(...request: Parameters<HttpClient['ask']>): Promise<Answer> {
    const askedAt = Date.now();
    for (let afterMs = ASKED_AGAIN_AFTER_MS; ; afterMs = Math.min(2 * afterMs, ASKED_AGAIN_AFTER_MS_MAX)) {
      const answer = await this.ask(...request);
      if ((answer.status !== 503 && answer.status !== 504) || Date.now() - askedAt > ASKED_MS_MAX) return answer;
      await setTimeout(afterMs);
    }
  }

  ask(
    token: string | null,
    method: string,
    path: string,
    body?: unknown,
    more: Record<string, string> = {},
  ): Promise<Answer> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const headers: Record<string, string> = {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined
        ? {}
        : {
            'content-type': typeof body === 'string' ? 'application/x-ndjson' : 'application/json',
            'content-length': String(Buffer.byteLength(text)),
          }),
      ...more,
    };
    return new Promise((resolve, reject) => {
      const sent = request(`${this.url}${path}`, { method, headers, agent: this.#agent }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          const { statusCode: status = 0, headers: answered } = response;
          resolve({ status, headers: answered, body: parsed(Buffer.concat(parts).toString()) });
        });
      });
      sent.on('error', reject);
      sent.end(text);
    });
  }

  /** What the bootstrap administrator does to prepare a case; it must succeed. */
  async made(method: string, path: string, body?: unknown): Promise<Answer> {
    const answer = await this.call(this.rootToken, method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer;
  }

  close(): void {
    this.#agent.destroy();
  }
}
