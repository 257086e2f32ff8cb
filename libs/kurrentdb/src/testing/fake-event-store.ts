import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import gossipServices from '@eventstore/db-client/generated/gossip_grpc_pb.js';
import gossip from '@eventstore/db-client/generated/gossip_pb.js';
import type { ClusterInfo } from '@eventstore/db-client/generated/gossip_pb.js';
import featureServices from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js';
import features from '@eventstore/db-client/generated/serverfeatures_pb.js';
import type { SupportedMethods } from '@eventstore/db-client/generated/serverfeatures_pb.js';
import streamServices from '@eventstore/db-client/generated/streams_grpc_pb.js';
import {
  type ConnectionInjector,
  Metadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  status,
} from '@grpc/grpc-js';
import { FakeLog, type ProposedRecord } from './fake-log.js';
import { type Faults, FakeStreams } from './fake-streams.js';

export interface FakeEventStoreOptions {
  /** False: as servers before 21.10, which know the unary append alone. */
  readonly batchAppend?: boolean;
  /** 4 MiB unless told; a real server's default is 1 MiB. */
  readonly appendBytesMax?: number;
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Whoever brings others is refused. Over TLS alone, as the client sends none without. */
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Another node, to which whoever wants the leader is sent. */
  readonly leader?: { readonly host: string; readonly port: number };
}

/** What every HTTP/2 connection begins with; anything else on the port is a question for the health page. */
const HTTP2_PREFACE = 'PRI ';
const APPEND_BYTES_MAX = 4 * 1024 * 1024;

/**
 * A FAKE of EventStoreDB that speaks its protocol over TCP, from the client package's own service definitions: streams,
 * the log, live subscriptions, server features, gossip of a cluster of one, the health page. It keeps everything in
 * memory and proves nothing about the real server; it makes the adapter's code run over the wire, and fail on demand.
 */
export class FakeEventStore {
  readonly log: FakeLog;
  readonly streams: FakeStreams;
  private readonly sockets = new Set<Socket>();
  private readonly http = createHttpServer((_, answer) => answer.writeHead(204).end());
  private readonly injector: ConnectionInjector;
  private readonly server: Server;
  private listener: NetServer | undefined;
  private listeningPort = 0;

  private constructor(private readonly options: FakeEventStoreOptions) {
    this.log = new FakeLog(options.appendBytesMax ?? APPEND_BYTES_MAX);
    this.streams = new FakeStreams(this.log, (metadata) => this.refusalOf(metadata));
    this.server = new Server({ 'grpc.max_receive_message_length': 17 * 1024 * 1024 });
    this.server.addService(streamServices.StreamsService, {
      ...this.streams.implementation,
      delete: unimplemented,
      tombstone: unimplemented,
    });
    this.server.addService(featureServices.ServerFeaturesService, {
      getSupportedMethods: (_: unknown, callback: sendUnaryData<SupportedMethods>) => {
        callback(null, supportedMethods(options.batchAppend ?? true));
      },
    });
    this.server.addService(gossipServices.GossipService, {
      read: (_: unknown, callback: sendUnaryData<ClusterInfo>) => {
        callback(null, clusterOfOne(this.port));
      },
    });
    this.injector = this.server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  static async start(options: FakeEventStoreOptions = {}): Promise<FakeEventStore> {
    const fake = new FakeEventStore(options);
    await fake.restart();
    return fake;
  }

  get port(): number {
    return this.listeningPort;
  }

  /** The connection string, without credentials and with `query` after the question mark. */
  url(query = ''): string {
    const tls = this.options.tls === undefined ? 'tls=false' : 'tls=true';
    return `esdb://127.0.0.1:${this.port}?${[tls, query].filter((one) => one !== '').join('&')}`;
  }

  get faults(): Faults {
    return this.streams.faults;
  }

  /** Ends every connection and takes no new one, as a killed process; what was written stays. */
  async kill(): Promise<void> {
    const { listener } = this;
    this.listener = undefined;
    if (listener === undefined) return;
    const closed = new Promise((resolve) => listener.close(resolve));
    this.cut();
    await closed;
  }

  /** Takes connections again, on the same port. */
  async restart(): Promise<void> {
    const { tls } = this.options;
    const listener =
      tls === undefined
        ? createServer((socket) => {
            this.take(socket);
          })
        : createTlsServer({ ...tls, ALPNProtocols: ['h2', 'http/1.1'] }, (socket) => {
            this.take(socket);
          });
    await new Promise<void>((resolve) => listener.listen(this.listeningPort, '127.0.0.1', resolve));
    const address = listener.address();
    if (address === null || typeof address === 'string') throw new Error('The system gave no port.');
    this.listeningPort = address.port;
    this.listener = listener;
  }

  /** Ends every connection that stands. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** One of the records that a server writes for itself. */
  writeSystemEvent(stream = '$stats-127.0.0.1:2113'): void {
    this.write(stream, { type: '$statsCollected', contentType: 'application/json' });
  }

  /** What somebody else has written into the same server. */
  writeForeignEvent(stream: string): void {
    this.write(stream, { type: 'SomethingElse', contentType: 'application/json' });
  }

  private write(stream: string, { type, contentType }: Pick<ProposedRecord, 'type' | 'contentType'>): void {
    const record = {
      type,
      contentType,
      id: crypto.randomUUID(),
      data: Buffer.from('{"a":1}'),
      metadata: Buffer.alloc(0),
    };
    this.log.append(stream, this.log.stream(stream).length - 1, [record]);
  }

  async stop(): Promise<void> {
    await this.kill();
    this.injector.destroy();
    this.server.forceShutdown();
    this.http.close();
  }

  private take(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.delete(socket));
    socket.once('readable', () => {
      const beginning = socket.read() as Buffer | null;
      if (beginning === null) return;
      socket.unshift(beginning);
      if (beginning.toString('latin1').startsWith(HTTP2_PREFACE)) this.injector.injectConnection(socket);
      else this.http.emit('connection', socket);
    });
  }

  private refusalOf(metadata: Metadata): { code: number; details: string; metadata: Metadata } | undefined {
    const { credentials, leader } = this.options;
    const trailers = new Metadata();
    if (credentials !== undefined) {
      const wanted = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64');
      if (metadata.get('authorization')[0] !== `Basic ${wanted}`) {
        trailers.set('exception', 'access-denied');
        return { code: status.PERMISSION_DENIED, details: 'Access Denied', metadata: trailers };
      }
    }
    if (leader === undefined || metadata.get('requires-leader')[0] !== 'true') return undefined;
    trailers.set('exception', 'not-leader');
    trailers.set('leader-endpoint-host', leader.host);
    trailers.set('leader-endpoint-port', String(leader.port));
    return { code: status.NOT_FOUND, details: 'Leader info available', metadata: trailers };
  }
}

function unimplemented(_: unknown, callback: sendUnaryData<never>): void {
  callback({ code: status.UNIMPLEMENTED, details: 'Steward deletes nothing.' });
}

function supportedMethods(batchAppend: boolean): SupportedMethods {
  const methods = new features.SupportedMethods();
  methods.setEventStoreServerVersion('23.10.0');
  const named = { read: ['position', 'events'], append: [], ...(batchAppend ? { batchappend: [] } : {}) };
  for (const [name, supported] of Object.entries(named)) {
    const method = new features.SupportedMethod();
    method.setServiceName('event_store.client.streams.streams');
    method.setMethodName(name);
    method.setFeaturesList(supported);
    methods.addMethods(method);
  }
  return methods;
}

function clusterOfOne(port: number): ClusterInfo {
  const endPoint = new gossip.EndPoint();
  endPoint.setAddress('127.0.0.1');
  endPoint.setPort(port);
  const member = new gossip.MemberInfo();
  member.setState(gossip.MemberInfo.VNodeState.LEADER);
  member.setIsAlive(true);
  member.setHttpEndPoint(endPoint);
  const cluster = new gossip.ClusterInfo();
  cluster.setMembersList([member]);
  return cluster;
}
