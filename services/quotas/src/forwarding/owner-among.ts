import { createHash } from 'node:crypto';

/**
 * The one of these addresses that a project belongs to, by rendezvous hashing: all who know the same addresses agree
 * without a word, and when one goes only its own projects move. Undefined among none.
 */
export function ownerAmong(projectId: string, addresses: readonly string[]): string | undefined {
  let owner: string | undefined;
  let highest = '';
  for (const address of addresses) {
    const score = createHash('sha256')
      .update(JSON.stringify([address, projectId]))
      .digest('hex');
    if (score <= highest) continue;
    highest = score;
    owner = address;
  }
  return owner;
}
