import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { aKey, aProject, StewardProcess } from '#libs/testing';

const DAY_MS = 86_400_000;

describe('an expiry warning', () => {
  it('is written exactly once across three restarts', async () => {
    let steward = await StewardProcess.start();
    const { dataDir } = steward;
    try {
      await aProject(steward);
      const expiresAt = new Date(Date.now() + DAY_MS + 4_000).toISOString();
      const { key } = await aKey(steward, { expiresAt });
      const warnings = async (): Promise<unknown[]> => {
        const history = await steward.call<{ data: { type: string; data: unknown }[] }>(
          'GET',
          `/v1/keys/${key.id}/history`,
        );
        return history.body.data.filter((event) => event.type === 'KeyExpiryWarned').map((event) => event.data);
      };
      expect(await warnings()).toEqual([]);
      for (let restart = 0; restart < 3; restart += 1) {
        steward.signal('SIGTERM');
        expect(await steward.exited()).toBe(0);
        steward = await StewardProcess.start({ dataDir });
        const deadline = Date.now() + 30_000;
        while ((await warnings()).length === 0 && Date.now() < deadline) await sleep(250);
      }
      // One more turn of the scheduler would show a second warning.
      await sleep(3_000);
      expect(await warnings()).toEqual([{ thresholdDays: 1, expiresAt }]);
    } finally {
      await steward.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  }, 120_000);
});
