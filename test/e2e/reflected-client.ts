import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type Client, credentials, loadPackageDefinition, makeClientConstructor, Metadata } from '@grpc/grpc-js';
import {
  fromJSON,
  loadFileDescriptorSetFromBuffer,
  loadSync,
  type MessageTypeDefinition,
  type PackageDefinition,
  type ServiceDefinition,
} from '@grpc/proto-loader';
import { protoPath as healthProto } from 'grpc-health-check';
import type { StewardProcess } from '#libs/testing';
import { metadataOf, settled, type UnaryCall } from '../../libs/testing/src/grpc-client.js';

/** A client that knows nothing of our .proto files: what it calls, it learns from the server's reflection. */

export type Message = Record<string, unknown>;

export interface Called {
  /** 0 is OK. */
  readonly code: number;
  readonly answer: Message;
  readonly trailers: Metadata;
  /** Of a refusal, by the name of their type: `ErrorInfo`, `BadRequest`, ... */
  readonly details: Readonly<Record<string, Message>>;
}

const DEADLINE_MS = 10_000;

const reflectionProto = join(
  dirname(createRequire(import.meta.url).resolve('@grpc/reflection')),
  '../proto/grpc/reflection/v1/reflection.proto',
);

const textMap = (id: number) => ({ keyType: 'string', type: 'string', id });

/** google/rpc/status.proto and error_details.proto, as far as Steward sends them. */
const richErrors = fromJSON({
  nested: {
    Status: {
      fields: {
        code: { type: 'int32', id: 1 },
        message: { type: 'string', id: 2 },
        details: { rule: 'repeated', type: 'Any', id: 3 },
      },
    },
    Any: { fields: { typeUrl: { type: 'string', id: 1 }, value: { type: 'bytes', id: 2 } } },
    ErrorInfo: {
      fields: {
        reason: { type: 'string', id: 1 },
        domain: { type: 'string', id: 2 },
        metadata: textMap(3),
      },
    },
    RequestInfo: { fields: { requestId: { type: 'string', id: 1 } } },
    BadRequest: { fields: { fieldViolations: { rule: 'repeated', type: 'FieldViolation', id: 1 } } },
    QuotaFailure: { fields: { violations: { rule: 'repeated', type: 'QuotaViolation', id: 1 } } },
    QuotaViolation: {
      fields: {
        subject: { type: 'string', id: 1 },
        description: { type: 'string', id: 2 },
        apiService: { type: 'string', id: 3 },
        quotaMetric: { type: 'string', id: 4 },
        quotaDimensions: textMap(6),
        quotaValue: { type: 'int64', id: 7 },
      },
    },
    FieldViolation: { fields: { field: { type: 'string', id: 1 }, description: { type: 'string', id: 2 } } },
  },
});

function decoded(type: string, bytes: Buffer): Message {
  const { deserialize } = richErrors[type] as unknown as MessageTypeDefinition<Message, Message>;
  return deserialize(bytes);
}

function detailsOf(trailers: Metadata): Record<string, Message> {
  const [status] = trailers.get('grpc-status-details-bin') as Buffer[];
  if (status === undefined) return {};
  const { details } = decoded('Status', status) as { details: { typeUrl: string; value: Buffer }[] };
  return Object.fromEntries(
    details.map(({ typeUrl, value }) => {
      const type = typeUrl.replace(/^.*\./, '');
      return [type, decoded(type, value)];
    }),
  );
}

interface ReflectionAnswer {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
}

const varint = (value: number): number[] => (value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)]);

export class ReflectedClient {
  private constructor(
    private readonly clients: ReadonlyMap<string, Client>,
    private readonly address: string,
    private readonly token: string,
  ) {}

  /** The names of the services that the server lists. */
  get services(): readonly string[] {
    return [...this.clients.keys()];
  }

  static async of({ grpcAddress, adminToken }: StewardProcess): Promise<ReflectedClient> {
    const { listServicesResponse } = await reflect(grpcAddress, { listServices: '*' });
    const clients = new Map<string, Client>();
    for (const { name } of listServicesResponse?.service ?? []) {
      const { fileDescriptorResponse } = await reflect(grpcAddress, { fileContainingSymbol: name });
      // A FileDescriptorSet is its files, each as field 1.
      const set = (fileDescriptorResponse?.fileDescriptorProto ?? []).map((file) =>
        Buffer.concat([Buffer.from([0x0a, ...varint(file.length)]), file]),
      );
      const definitions: PackageDefinition = loadFileDescriptorSetFromBuffer(Buffer.concat(set), { longs: Number });
      const Service = makeClientConstructor(definitions[name] as ServiceDefinition, name);
      clients.set(name, new Service(grpcAddress, credentials.createInsecure()));
    }
    return new ReflectedClient(clients, grpcAddress, adminToken);
  }

  /** A unary call as the bootstrap administrator, or with another token in the headers. */
  async call(service: string, method: string, request: Message, headers: Record<string, string> = {}): Promise<Called> {
    const client = this.clients.get(`steward.v1.${service}`) as unknown as Record<string, UnaryCall> | undefined;
    const made = client?.[method];
    if (made === undefined) throw new Error(`The server tells of no ${service}.${method}.`);
    const metadata = metadataOf({ authorization: `Bearer ${this.token}`, ...headers });
    const { error, answer, trailers } = await settled((done) =>
      made.call(client, request, metadata, { deadline: Date.now() + DEADLINE_MS }, done),
    );
    return { code: error?.code ?? 0, answer, trailers, details: detailsOf(trailers) };
  }

  /** As the health service tells it; '' is the whole server. */
  async health(service: string): Promise<Message> {
    const { grpc } = loadPackageDefinition(loadSync(healthProto, { enums: String })) as unknown as {
      grpc: { health: { v1: { Health: new (address: string, of: unknown) => Client } } };
    };
    const client = new grpc.health.v1.Health(this.address, credentials.createInsecure());
    const checks = client as unknown as {
      check(request: Message, done: (error: Error | null, answer: Message) => void): void;
    };
    try {
      return await new Promise((resolve, reject) => {
        checks.check({ service }, (error, answer) => {
          if (error === null) resolve(answer);
          else reject(error);
        });
      });
    } finally {
      client.close();
    }
  }

  close(): void {
    for (const client of this.clients.values()) client.close();
  }
}

async function reflect(address: string, request: Message): Promise<ReflectionAnswer> {
  const { grpc } = loadPackageDefinition(loadSync(reflectionProto)) as unknown as {
    grpc: { reflection: { v1: { ServerReflection: new (address: string, of: unknown) => Client } } };
  };
  const client = new grpc.reflection.v1.ServerReflection(address, credentials.createInsecure());
  const stream = (
    client as unknown as {
      serverReflectionInfo(options: { deadline: number }): AsyncIterable<ReflectionAnswer> & {
        write(message: Message): void;
        end(): void;
      };
    }
  ).serverReflectionInfo({ deadline: Date.now() + DEADLINE_MS });
  try {
    stream.write(request);
    stream.end();
    for await (const answer of stream) return answer;
    throw new Error('Reflection answered nothing.');
  } finally {
    client.close();
  }
}
