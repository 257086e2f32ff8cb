import type { ErrorCode } from '#libs/contracts';
import { closeGracefully } from './shutdown.js';
import { expectRawProblem } from './testing/expect-problem.js';
import { connected, parseAnswer, sendRaw, untilClosed } from './testing/raw-socket.js';
import { startThings, type ThingApp } from './testing/thing-app.js';

let things: ThingApp;
/** The same with little patience; what is slow on a busy machine must not meet it. */
let impatient: ThingApp;

beforeAll(async () => {
  things = await startThings();
  impatient = await startThings({ headerMsMax: 300, requestMsMax: 700, checkEveryMs: 50 });
});

afterAll(async () => {
  await Promise.all([things, impatient].map(({ app }) => closeGracefully(app, { drainMs: 2_000 })));
});

describe('from below routing', () => {
  it.each<[string, string | Buffer, ErrorCode]>([
    ['a request line that is none', 'NONSENSE\r\n\r\n', 'HEADER_MALFORMED'],
    ['TLS on a plain port', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), 'HEADER_MALFORMED'],
    ['a header without a colon', 'GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n', 'HEADER_MALFORMED'],
    ['a header with NUL', 'GET / HTTP/1.1\r\nHost: a\r\nx: a\0b\r\n\r\n', 'HEADER_MALFORMED'],
    [
      'two lengths',
      'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}',
      'HEADER_MALFORMED',
    ],
    [
      'two different Content-Lengths',
      'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
      'HEADER_MALFORMED',
    ],
    ['too large a header', `GET / HTTP/1.1\r\nHost: a\r\nx: ${'a'.repeat(9000)}\r\n\r\n`, 'HEADERS_TOO_LARGE'],
    ['too long a path', `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 'HEADERS_TOO_LARGE'],
    ['no Host', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 'HEADER_MALFORMED'],
    ['an expectation', 'GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: coffee\r\n\r\n', 'HEADER_MALFORMED'],
    [
      'a broken chunk',
      'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
      'HEADER_MALFORMED',
    ],
  ])('%s is a problem document', async (_what, bytes, code) => {
    expectRawProblem(await sendRaw(things.port, bytes), code);
  });

  it('a header that does not arrive in time is REQUEST_TIMEOUT', async () => {
    const socket = await connected(impatient.port);
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n');
    expectRawProblem(parseAnswer(await untilClosed(socket)), 'REQUEST_TIMEOUT');
  });

  it('a body that does not arrive in time is REQUEST_TIMEOUT', async () => {
    const socket = await connected(impatient.port);
    socket.write(
      'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"na',
    );
    expectRawProblem(parseAnswer(await untilClosed(socket)), 'REQUEST_TIMEOUT');
  });

  it('a body that ends early harms nobody', async () => {
    const socket = await connected(things.port);
    socket.end(
      'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"na',
    );
    await untilClosed(socket);
    expect((await fetch(`${things.url}/healthz`)).status).toBe(200);
    expect(things.logLines.filter((line) => line.includes('unexpectedly') && line.includes('aborted'))).toEqual([]);
  });
});
