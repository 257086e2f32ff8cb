import {
  Client,
  type ClientWritableStream,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { loadSync, type Options } from '@grpc/proto-loader';
import { PROTO_ROOT } from '#libs/platform';

export type GrpcMessage = Record<string, unknown>;
export type OnAnswer = (error: ServiceError | null, answer?: GrpcMessage) => void;
type OnStatus = (status: { readonly metadata: Metadata }) => void;
interface Going {
  on(event: 'status', listener: OnStatus): unknown;
}

/** A method of a client as grpc-js makes it, for one request and one answer. */
export type UnaryCall = (
  request: object,
  metadata: Metadata,
  options: { readonly deadline: number },
  done: OnAnswer,
) => Going;

export interface Settled {
  readonly error: ServiceError | null;
  readonly answer: GrpcMessage;
  readonly trailers: Metadata;
}

/** Settles when both the answer and the status have come, in whichever order. */
export function settled(make: (done: OnAnswer) => Going): Promise<Settled> {
  return new Promise((resolve) => {
    let answered: Omit<Settled, 'trailers'> | undefined;
    let trailers: Metadata | undefined;
    const settle = (): void => {
      if (answered !== undefined && trailers !== undefined) resolve({ ...answered, trailers });
    };
    make((error, answer = {}) => {
      answered = { error, answer };
      settle();
    }).on('status', ({ metadata }) => {
      trailers = metadata;
      settle();
    });
  });
}

export function metadataOf(headers: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

export interface Called {
  /** The name of the status: OK, NOT_FOUND, ... */
  readonly code: string;
  /** The `details` of a refusal. */
  readonly answer: GrpcMessage;
  readonly trailers: Metadata;
}

const DEADLINE_MS = 10_000;

/** Calls one of Steward's services on this machine as its .proto file says; methods by their names in JavaScript. */
export class GrpcClient {
  private constructor(private readonly client: Client) {}

  /** `service` without its package, for example QuotaService of quotas.proto. */
  static of(port: number, file: string, service: string, options: Options = {}): GrpcClient {
    const definition = loadSync(`steward/v1/${file}`, { includeDirs: [PROTO_ROOT], longs: Number, ...options });
    // grpc-js types what it loads as a tree of anything; what is in it is in the .proto file.
    const { steward } = loadPackageDefinition(definition) as unknown as {
      steward: { v1: Record<string, new (address: string, of: unknown) => Client> };
    };
    const Service = steward.v1[service] ?? Client;
    return new GrpcClient(new Service(`127.0.0.1:${port}`, credentials.createInsecure()));
  }

  call(method: string, request: object, headers: Record<string, string> = {}): Promise<Called> {
    return this.called((done) => this.begin(method, request, metadataOf(headers), deadline(), done));
  }

  /** Sends the messages as one stream. */
  send(method: string, messages: readonly object[], headers: Record<string, string> = {}): Promise<Called> {
    return this.called((done) => {
      const stream = this.open(method, headers, done);
      for (const message of messages) stream.write(message);
      stream.end();
      return stream;
    });
  }

  /** A stream of messages that the caller writes. */
  open(method: string, headers: Record<string, string>, done: OnAnswer): ClientWritableStream<object> {
    // For a method that takes a stream grpc-js answers one.
    return this.begin(method, metadataOf(headers), deadline(), done) as unknown as ClientWritableStream<object>;
  }

  close(): void {
    this.client.close();
  }

  private begin(method: string, ...given: unknown[]): Going {
    // grpc-js puts the methods on the client by name, and no type tells which.
    const methods = this.client as unknown as Record<string, ((...given: unknown[]) => Going) | undefined>;
    const made = methods[method];
    if (made === undefined) throw new Error(`The service has no method ${method}.`);
    return made.apply(this.client, given);
  }

  private async called(make: (done: OnAnswer) => Going): Promise<Called> {
    const { error, answer, trailers } = await settled(make);
    return error === null
      ? { code: 'OK', answer, trailers }
      : { code: status[error.code], answer: { details: error.details }, trailers };
  }
}

const deadline = () => ({ deadline: Date.now() + DEADLINE_MS });
