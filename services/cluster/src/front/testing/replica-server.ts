import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Replica } from '../replicas.js';

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A process of a service as the front sees one: it describes its paths, says that it is ready, and answers as it is told. */
export class ReplicaServer {
  readonly seen: IncomingMessage[] = [];

  private constructor(
    private readonly server: Server,
    readonly replica: Replica,
  ) {}

  static async start(service: string, paths: readonly string[], handle: Handler, port = 0): Promise<ReplicaServer> {
    const server = createServer((request, response) => {
      if (request.url === '/readyz') response.end('{}');
      else if (request.url === '/openapi.json') {
        const schemas = { [service]: { type: 'object' } };
        const described = {
          openapi: '3.1.0',
          paths: Object.fromEntries(paths.map((path) => [path, { get: service }])),
        };
        response.end(JSON.stringify({ ...described, components: { schemas } }));
      } else {
        started.seen.push(request);
        handle(request, response);
      }
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const started = new ReplicaServer(server, {
      service,
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
    });
    return started;
  }

  /** As `kill -9` would: every connection breaks and further ones are refused. */
  async kill(): Promise<void> {
    if (!this.server.listening) return;
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}
