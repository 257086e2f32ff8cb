import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader';
import { fileDescriptorsOf } from './reflection.js';

const proto = `
syntax = "proto3";
package steward.test;
message Thing {
  string thing_id = 1;
  map<string, string> labels = 2;
  map<string, Part> part_by_name = 3;
  message Part { map<string, int32> labels = 1; }
}
message Other { map<string, string> labels = 1; }
`;

describe('the descriptors that reflection serves', () => {
  it('name maps as protoc does, and fields as the file does', () => {
    const folder = mkdtempSync(join(tmpdir(), 'steward-proto-'));
    const file = join(folder, 'thing.proto');
    writeFileSync(file, proto);
    const descriptors = fileDescriptorsOf([file], { keepCase: false });
    rmSync(folder, { recursive: true });
    expect(descriptors).toHaveLength(1);
    const { 'google.protobuf.FileDescriptorProto': described } = loadSync('google/protobuf/descriptor.proto');
    const { deserialize } = described as MessageTypeDefinition<object, object>;
    expect(deserialize(descriptors[0] as Buffer)).toMatchObject({
      package: 'steward.test',
      messageType: [
        {
          name: 'Thing',
          field: [
            { name: 'thing_id' },
            { name: 'labels', typeName: 'LabelsEntry' },
            { name: 'part_by_name', typeName: 'PartByNameEntry' },
          ],
          nestedType: [
            { name: 'LabelsEntry', options: { mapEntry: true } },
            { name: 'PartByNameEntry', field: [{ name: 'key' }, { name: 'value', typeName: 'Thing.Part' }] },
            { name: 'Part', field: [{ typeName: 'LabelsEntry' }], nestedType: [{ name: 'LabelsEntry' }] },
          ],
        },
        { name: 'Other', nestedType: [{ name: 'LabelsEntry' }] },
      ],
    });
  });
});
