import { commandIdOf, requestHashOf } from '#libs/eventsourcing';
import { commandsOf, type CommandSource, idempotencyKeyOf } from './idempotency.js';
import type { Principal } from '../auth/principal.js';
import { revisionOf } from './request-contexts.js';

const principal: Principal = { type: 'user', id: 'u1', via: 'key:key_a', tenantId: 't1', grants: [], key: null };
const installationKey = Buffer.alloc(32, 7);
const source: CommandSource = {
  principal,
  idempotencyKey: 'abc',
  commandParts: (key) => ['req', 't1', 'u1', 'POST', '/v1/x', key],
  method: 'POST',
  pathAndQuery: '/v1/x?a=1',
  body: { id: 'x', comment: 'private', displayName: 'p', email: 'p', note: 'p' },
  installationKey,
  ip: '10.0.0.1',
  userAgent: 'curl',
};

describe('the command of a request', () => {
  it('derives commandId and requestHash from the Idempotency-Key, less the private texts', () => {
    const command = commandsOf(source)({ freeTextFields: ['note'] });
    expect(command.commandId).toBe(commandIdOf(['req', 't1', 'u1', 'POST', '/v1/x', 'abc']));
    expect(command.correlationId).toBe(command.commandId);
    expect(command.causationId).toBeNull();
    expect(command.requestHash).toBe(requestHashOf(installationKey, 'POST', '/v1/x?a=1', { id: 'x' }));
  });

  it('is random without the header, but the same for the whole request', () => {
    const command = commandsOf({ ...source, idempotencyKey: undefined });
    expect(command().commandId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    expect(command().commandId).toBe(command().commandId);
    expect(command().requestHash).toBeNull();
    expect(commandsOf({ ...source, idempotencyKey: undefined })().commandId).not.toBe(command().commandId);
  });

  it('hashes an absent body as an empty object', () => {
    expect(commandsOf({ ...source, body: undefined })().requestHash).toBe(
      requestHashOf(installationKey, 'POST', '/v1/x?a=1', {}),
    );
  });

  it('keeps address and agent of persons, of the others only a comment', () => {
    expect(commandsOf(source)({ comment: 'c' }).actorPart).toEqual({ ip: '10.0.0.1', userAgent: 'curl', comment: 'c' });
    expect(commandsOf(source)().actorPart).toEqual({ ip: '10.0.0.1', userAgent: 'curl', comment: null });
    for (const type of ['service', 'project'] as const) {
      const command = commandsOf({ ...source, principal: { ...principal, type } });
      expect(command().actorPart).toBeNull();
      expect(command({ comment: 'c' }).actorPart).toEqual({ ip: null, userAgent: null, comment: 'c' });
    }
  });

  it('takes 1 to 255 visible ASCII characters as an Idempotency-Key', () => {
    expect(idempotencyKeyOf(undefined)).toBeUndefined();
    expect(idempotencyKeyOf('!~'.repeat(127))).toHaveLength(254);
    for (const key of ['', ' ', 'a b', 'é', 'a\t', 'x'.repeat(256)])
      expect(() => idempotencyKeyOf(key)).toThrow('VALIDATION');
  });

  it('reads If-Match as a revision; other tags match nothing, malformed ones are refused', () => {
    expect(revisionOf(undefined)).toBeUndefined();
    expect(revisionOf('*')).toBeUndefined();
    expect(revisionOf('"17"')).toBe(17);
    for (const tag of ['W/"17"', '"abc"', '"017"', '""', '"9999999999999999"']) expect(revisionOf(tag)).toBe(-1);
    for (const tag of ['17', '"17', '"1", "2"', 'W/17', '']) expect(() => revisionOf(tag)).toThrow('VALIDATION');
  });
});
