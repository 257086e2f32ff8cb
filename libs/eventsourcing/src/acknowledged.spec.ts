import { Acknowledged } from './acknowledged.js';

describe('what this process acknowledged', () => {
  test('is the newest position of each tenant, and of the platform', () => {
    const acknowledged = new Acknowledged();
    acknowledged.note('acme', '002');
    acknowledged.note('acme', '001');
    acknowledged.note(null, '003');
    expect(acknowledged.of('acme')).toBe('002');
    expect(acknowledged.of(null)).toBe('003');
    expect(acknowledged.of('other')).toBeUndefined();
    expect(acknowledged.max()).toBe('003');
  });

  test('errs towards waiting longer for a tenant that was forgotten', () => {
    const acknowledged = new Acknowledged(2);
    acknowledged.note('a', '001');
    acknowledged.note('b', '002');
    acknowledged.note('a', '003');
    acknowledged.note('c', '004');
    expect(acknowledged.of('a')).toBe('003');
    expect(acknowledged.of('b')).toBe('002');
    acknowledged.note('d', '005');
    expect(acknowledged.of('b')).toBe('003');
    acknowledged.note('b', '001');
    expect(acknowledged.of('b')).toBe('003');
    expect(acknowledged.max()).toBe('005');
  });
});
