import { type LogEntry, logLevel } from 'kafkajs';
import { logInto } from './kafka-log.js';

const entry = (level: logLevel, message: string, extra: object = {}): LogEntry => ({
  namespace: 'Connection',
  level,
  label: '',
  log: { timestamp: '', message, ...extra },
});

describe('logInto', () => {
  const lines: [string, Record<string, unknown>, string][] = [];
  let atMs = 0;
  const log = {
    debug: (fields: object, message: string) => void lines.push(['debug', { ...fields }, message]),
    warn: (fields: object, message: string) => void lines.push(['warn', { ...fields }, message]),
  };
  const write = logInto(log, () => atMs)(logLevel.INFO);
  beforeEach(() => lines.splice(0));

  it('lets one line of a kind pass in ten seconds, and then tells how many it kept back', () => {
    for (let port = 9_000; port < 9_020; port += 1) write(entry(logLevel.ERROR, `Connection refused by ${port}`));
    expect(lines.map(([level, , message]) => [level, message])).toEqual([
      ['warn', 'Kafka: Connection refused by 9000'],
    ]);
    atMs = 10_000;
    write(entry(logLevel.ERROR, 'Connection refused by 9001'));
    expect(lines[1]?.[1]).toMatchObject({ suppressed: 19 });
    write(entry(logLevel.WARN, 'Another kind'));
    expect(lines).toHaveLength(3);
  });

  it('writes nothing of a message but what is named: no stack and no payload', () => {
    write(entry(logLevel.ERROR, 'Failed', { stack: 'at x', payload: { password: 'hunter2' }, broker: 'a:1' }));
    write(entry(logLevel.INFO, 'Joined', { memberAssignment: {} }));
    expect(JSON.stringify(lines)).not.toMatch(/hunter2|at x|memberAssignment/);
    expect(lines.map(([level]) => level)).toEqual(['warn', 'debug']);
  });
});
