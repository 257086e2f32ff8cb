import { acknowledges } from './event-publisher.js';

describe('an answer to a send', () => {
  const ok = { topicName: 't', partition: 3, errorCode: 0 };

  it('counts if it names the partition without an error', () => {
    expect(acknowledges([ok], 't', 3)).toBe(true);
  });

  it.each([
    ['is empty, as the client answers when it never sent', []],
    ['names another partition', [{ ...ok, partition: 2 }]],
    ['names another topic', [{ ...ok, topicName: 'u' }]],
    ['bears an error', [{ ...ok, errorCode: 6 }]],
    ['names more than was sent', [ok, { ...ok, partition: 2 }]],
  ])('does not count if it %s', (_, answers) => {
    expect(acknowledges(answers, 't', 3)).toBe(false);
  });
});
