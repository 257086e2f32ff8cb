import {
  loadSync,
  type MessageTypeDefinition,
  type Options,
  type PackageDefinition,
  type ProtobufTypeDefinition,
} from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';

interface FieldDescriptor {
  readonly name: string;
  readonly typeName?: string;
}

interface MessageDescriptor {
  readonly name: string;
  readonly field?: readonly FieldDescriptor[];
  readonly nestedType?: readonly MessageDescriptor[];
  readonly options?: { readonly mapEntry?: boolean };
}

interface FileDescriptor {
  readonly messageType?: readonly MessageDescriptor[];
}

/** `ip_ranges` to `IpRangesEntry`, as protoc names the message that a map is a list of. */
const entryNameOf = (field: string): string =>
  `${field.replace(/(?:^|_)([a-z])/g, (_all, letter: string) => letter.toUpperCase())}Entry`;

function withMapEntries(message: MessageDescriptor): MessageDescriptor {
  const entries = new Set(
    (message.nestedType ?? []).filter(({ options }) => options?.mapEntry === true).map(({ name }) => name),
  );
  const renamed = new Map<string, string>();
  const field = (message.field ?? []).map((one) => {
    if (one.typeName === undefined || !entries.has(one.typeName)) return one;
    renamed.set(one.typeName, entryNameOf(one.name));
    return { ...one, typeName: entryNameOf(one.name) };
  });
  const nested = (message.nestedType ?? []).map((one) => ({
    ...withMapEntries(one),
    name: renamed.get(one.name) ?? one.name,
  }));
  return { ...message, field, nestedType: nested };
}

/**
 * The FileDescriptorProtos of .proto files, one for each package. The loader describes a map under a name that only it
 * takes itself; other clients, grpcurl for one, refuse the whole package for it. So maps get the name that protoc gives
 * them, and fields the names that stand in the files.
 */
export function fileDescriptorsOf(files: string[], options: Options): Buffer[] {
  const definitions = loadSync(files, { ...options, keepCase: true });
  const { 'google.protobuf.FileDescriptorProto': described } = loadSync('google/protobuf/descriptor.proto');
  const { deserialize, serialize } = described as MessageTypeDefinition<FileDescriptor, FileDescriptor>;
  const distinct = new Map<string, Buffer>();
  for (const definition of Object.values(definitions))
    for (const file of (definition as Partial<ProtobufTypeDefinition>).fileDescriptorProtos ?? [])
      distinct.set(file.toString('latin1'), file);
  return [...distinct.values()].map((file) => {
    const descriptor = deserialize(file);
    return serialize({ ...descriptor, messageType: (descriptor.messageType ?? []).map(withMapEntries) });
  });
}

export function reflectionOf(files: string[], options: Options): ReflectionService {
  // Reflection reads nothing of a definition but its descriptors.
  const served = { fileDescriptorProtos: fileDescriptorsOf(files, options) };
  return new ReflectionService({ served } as unknown as PackageDefinition);
}
