import { tmpdir } from 'node:os';
import { DiskGuard } from './disk-guard.js';

const MIB = 1024 * 1024;

describe('DiskGuard', () => {
  it('refuses below the minimum and takes changes again only with a quarter more', async () => {
    let freeMiB = 300;
    const changes: unknown[] = [];
    const guard = new DiskGuard({
      path: '/data',
      statfs: () => Promise.resolve({ bavail: freeMiB * 256, bsize: 4096 }),
      onChange: (refusal, freeBytes) => changes.push([refusal, freeBytes / MIB]),
    });
    const at = async (mib: number): Promise<string | undefined> => {
      freeMiB = mib;
      await guard.look();
      return guard.refusal();
    };

    expect(await at(300)).toBeUndefined();
    expect(await at(256)).toBeUndefined();
    expect(await at(255)).toBe('disk-full');
    expect(await at(319)).toBe('disk-full');
    expect(await at(320)).toBeUndefined();
    expect(await at(256)).toBeUndefined();
    expect(changes).toEqual([
      ['disk-full', 255],
      [undefined, 320],
    ]);
  });

  it('keeps its verdict when the file system cannot be asked', async () => {
    let fails = false;
    const guard = new DiskGuard({
      path: '/data',
      statfs: () => (fails ? Promise.reject(new Error('EIO')) : Promise.resolve({ bavail: 1, bsize: 4096 })),
    });
    await guard.look();
    fails = true;
    await expect(guard.look()).rejects.toThrow('EIO');
    expect(guard.refusal()).toBe('disk-full');
  });

  it('asks the real file system', async () => {
    const guard = new DiskGuard({ path: tmpdir(), freeBytesMin: 1 });
    await guard.start();
    guard.stop();
    expect(guard.freeBytes).toBeGreaterThan(0);
    expect(guard.refusal()).toBeUndefined();
  });
});
