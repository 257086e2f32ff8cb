import { closeGracefully } from './shutdown.js';
import { expectProblem } from './testing/expect-problem.js';
import { connected, parseAnswer, untilClosed } from './testing/raw-socket.js';
import { json, ndjson, startThings, type ThingApp } from './testing/thing-app.js';

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

describe('a streamed body', () => {
  it('is read line by line, beyond the body limit, and a bad line is told by its number', async () => {
    const lines = Array.from({ length: 20_000 }, (_, n) => JSON.stringify({ n }));
    lines[4] = '{"a":1,"a":1}';
    lines[6] = '';
    const response = await things.request('POST', '/v1/things/import', lines.join('\n'), ndjson);
    expect(await response.json()).toMatchObject({ lines: 19_998, failed: [5] });
  });

  it('may take longer than a request may', async () => {
    const socket = await connected(impatient.port);
    socket.write(
      'POST /v1/things/import HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    const answer = untilClosed(socket);
    const began = performance.now();
    const timer = setInterval(() => {
      if (performance.now() - began < 1_500) socket.write('8\r\n{"n":1}\n\r\n');
      else {
        clearInterval(timer);
        socket.write('0\r\n\r\n');
      }
    }, 100);
    const { status, body } = parseAnswer(await answer);
    expect(status).toBe(200);
    expect(body).toContain('"failed":[]');
  });

  it('takes no Idempotency-Key and no other content type, and no line without an end', async () => {
    const send = (body: string, headers: Record<string, string>) =>
      things.request('POST', '/v1/things/import', body, headers);
    await expectProblem(await send('{}', { ...ndjson, 'idempotency-key': 'a' }), 'IDEMPOTENCY_KEY_REFUSED');
    await expectProblem(await send('{}', json), 'MEDIA_TYPE');
    await expectProblem(await things.request('POST', '/v1/things/import', undefined, {}), 'MEDIA_TYPE');
    await expectProblem(await send('x'.repeat(70_000), ndjson), 'BODY_TOO_LARGE');
  });
});
