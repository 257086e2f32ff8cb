import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';

/**
 * `pass`; `stall`: nothing moves; `refuse`: no new connection; `loseReplies`: the request goes through, its answer cuts;
 * `swallowReplies`: the request goes through, its answer is dropped and the connection stays.
 */
export type ProxyMode = 'pass' | 'stall' | 'refuse' | 'loseReplies' | 'swallowReplies';

/** A network that fails on demand, between a client and a server of this machine (`{host, port}` or `{path}`). */
export class TcpProxy {
  private mode: ProxyMode = 'pass';
  private readonly pairs = new Set<readonly [client: Socket, server: Socket]>();

  private constructor(
    private readonly listener: Server,
    readonly port: number,
  ) {}

  static async start(target: NetConnectOpts): Promise<TcpProxy> {
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const address = listener.address();
    if (address === null || typeof address === 'string') throw new Error('The system gave no port.');
    const proxy = new TcpProxy(listener, address.port);
    listener.on('connection', (client) => {
      proxy.join(client, target);
    });
    return proxy;
  }

  private join(client: Socket, target: NetConnectOpts): void {
    if (this.mode === 'refuse') {
      client.destroy();
      return;
    }
    const server = connect(target);
    const pair = [client, server] as const;
    this.pairs.add(pair);
    const part = (): void => {
      this.pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', part);
      socket.on('close', part);
      if (this.mode === 'stall') socket.pause();
    }
    client.on('data', (chunk) => {
      server.write(chunk);
    });
    server.on('data', (chunk) => {
      if (this.mode === 'loseReplies') part();
      else if (this.mode !== 'swallowReplies') client.write(chunk);
    });
  }

  /** For the connections that stand and those to come. */
  set(mode: ProxyMode): void {
    this.mode = mode;
    for (const socket of [...this.pairs].flat()) {
      if (mode === 'stall') socket.pause();
      else socket.resume();
    }
  }

  /** Ends every connection that stands. */
  cut(): void {
    for (const socket of [...this.pairs].flat()) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.listener.close(resolve));
    this.cut();
    await closed;
  }
}
