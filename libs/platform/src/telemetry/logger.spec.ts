import { createLogger, type Logger, PinoNestLogger } from './logger.js';

const token = `stw_live_9DC9pg4cMivLPKBD_${'A1b2C3'.repeat(6)}zz`;

function captured(): { logger: Logger; lines: () => string } {
  let text = '';
  const logger = createLogger({ level: 'trace' }, { write: (line: string) => void (text += line) });
  return { logger, lines: () => text };
}

describe('the logger', () => {
  it('finds a planted token, so the tests below mean something', () => {
    expect(JSON.stringify({ any: `x ${token} y` })).toContain(token);
  });

  it('writes no token, wherever in a line it stands', () => {
    const { logger, lines } = captured();
    logger.info(`a ${token} b`);
    logger.info({ deep: { er: { still: [`a ${token}`] } } }, 'x');
    logger.error({ err: new Error(`bad ${token}`, { cause: new Error(token) }) }, 'y');
    logger.child({ keyOf: token }).warn('z');
    new PinoNestLogger(logger).error(new Error(token), token, 'Context');
    new PinoNestLogger(logger).warn({ token });
    expect(lines()).not.toContain(token);
    expect(lines().match(/\[token\]/g)?.length).toBeGreaterThan(4);
  });

  it('writes no credential header, JWT or password in a URL', () => {
    const { logger, lines } = captured();
    const jwt = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl`;
    logger.info({ headers: { authorization: 'Bearer abcdefgh12345678', 'x-api-key': 'imported-token-1' } }, 'x');
    logger.info({ request: { headers: { 'x-api-key': 'imported-token-1' } }, token: 'imported-token-1' }, 'x');
    logger.info(`Authorization: Bearer abcdefgh12345678 ${jwt} postgres://u:hunter2@db/x`);
    logger.error({ err: new Error('connect postgres://u:hunter2@db/x') }, 'x');
    for (const secret of ['abcdefgh12345678', 'imported-token-1', jwt, 'hunter2'])
      expect(lines()).not.toContain(secret);
  });

  it('writes neither a request nor a reply as it is', () => {
    const { logger, lines } = captured();
    logger.info({ req: { headers: { cookie: 'abc' } }, res: { headers: { a: 'b' } } }, 'x');
    expect(JSON.parse(lines())).not.toHaveProperty('req');
    expect(JSON.parse(lines())).not.toHaveProperty('res');
  });

  it('writes of an error what it is, and nothing that a driver hung on it', () => {
    const { logger, lines } = captured();
    const cause = Object.assign(new Error('connection lost'), { code: '57P01' });
    const err = Object.assign(new Error('no answer', { cause }), { client: { host: 'db.internal', options: 'xyzzy' } });
    logger.warn({ err }, 'x');
    expect(JSON.parse(lines())).toMatchObject({
      err: { type: 'Error', message: 'no answer', cause: { message: 'connection lost', code: '57P01' } },
    });
    expect(lines()).not.toMatch(/db\.internal|xyzzy/);
  });

  it('writes one JSON line with the level as a word and the time in UTC', () => {
    const { logger, lines } = captured();
    logger.warn({ a: 1 }, 'text');
    expect(JSON.parse(lines())).toMatchObject({ level: 'warn', a: 1, msg: 'text', name: 'steward' });
    expect((JSON.parse(lines()) as { time: string }).time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
  });
});
