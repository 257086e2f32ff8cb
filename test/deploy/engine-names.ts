import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

const HEADER_BYTES = 12;
const TTL_SECONDS = 1;
const NAME_UNKNOWN = 3;

/** A name server as a container engine has one: a name has the addresses of the replicas that run. */
export class EngineNames {
  private constructor(
    private readonly socket: Socket,
    private readonly addressesOf: (name: string) => readonly string[],
  ) {
    socket.on('message', (query, from) => {
      socket.send(this.answerTo(query), from.port, from.address);
    });
  }

  static async start(addressesOf: (name: string) => readonly string[]): Promise<EngineNames> {
    const names = new EngineNames(createSocket('udp4'), addressesOf);
    names.socket.bind(0, '127.0.0.1');
    await once(names.socket, 'listening');
    return names;
  }

  get port(): number {
    return this.socket.address().port;
  }

  stop(): void {
    this.socket.close();
  }

  /** RFC 1035, for one question of type A. */
  private answerTo(query: Buffer): Buffer {
    const labels: string[] = [];
    let at = HEADER_BYTES;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const question = query.subarray(HEADER_BYTES, at + 5);
    const addresses = this.addressesOf(labels.join('.'));
    const header = Buffer.from(query.subarray(0, HEADER_BYTES));
    header.writeUInt16BE(0x8180 | (addresses.length === 0 ? NAME_UNKNOWN : 0), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(addresses.length, 6);
    header.writeUInt32BE(0, 8);
    const answers = addresses.map((address) => {
      // A pointer to the name in the question, type A, class IN.
      const record = Buffer.from([0xc0, HEADER_BYTES, 0, 1, 0, 1, 0, 0, 0, TTL_SECONDS, 0, 4, 0, 0, 0, 0]);
      address.split('.').forEach((byte, n) => record.writeUInt8(Number(byte), 12 + n));
      return record;
    });
    return Buffer.concat([header, question, ...answers]);
  }
}
