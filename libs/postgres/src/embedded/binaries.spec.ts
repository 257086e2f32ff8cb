import { chmod, mkdir, mkdtemp, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPackage, materialise } from './binaries.js';

describe('The server of the platform package', () => {
  it.each([
    ['win32', 'x64'],
    ['linux', 'riscv64'],
  ])('is refused by name on %s-%s, with what to do instead', async (platform, arch) => {
    await expect(findPackage(platform, arch)).rejects.toMatchObject({
      name: 'EmbeddedPostgresUnavailable',
      message: expect.stringContaining('STEWARD_DATABASE_URL') as string,
    });
  });

  it('gets its library links and modes that its user can read, whatever npm installed them with', async () => {
    const scratch = await mkdtemp(join(tmpdir(), 'steward-binaries-'));
    try {
      const native = join(scratch, 'package', 'native');
      const home = join(scratch, 'home');
      await mkdir(join(native, 'bin'), { recursive: true, mode: 0o700 });
      await mkdir(join(native, 'lib'), { mode: 0o700 });
      await mkdir(home);
      await writeFile(join(native, 'bin', 'postgres'), 'server', { mode: 0o700 });
      await writeFile(join(native, 'lib', 'libx.so.1.2'), 'library');
      await chmod(join(native, 'lib', 'libx.so.1.2'), 0o644);
      const links = [{ source: 'native/lib/libx.so.1.2', target: 'native/lib/libx.so.1' }];
      await writeFile(join(native, 'pg-symlinks.json'), JSON.stringify(links));
      const pkg = { folder: join(scratch, 'package'), version: '18.4.0', major: '18' };
      await mkdir(join(home, 'server-17.0.0'));

      const bin = await materialise(pkg, home);
      const library = join(home, 'server-18.4.0', 'native', 'lib');
      expect(bin).toBe(join(home, 'server-18.4.0', 'native', 'bin'));
      expect((await stat(join(bin, 'postgres'))).mode & 0o777).toBe(0o755);
      expect((await stat(join(native, 'bin', 'postgres'))).mode & 0o777).toBe(0o700);
      expect((await stat(library)).mode & 0o777).toBe(0o755);
      expect(await readlink(join(library, 'libx.so.1'))).toBe('libx.so.1.2');
      expect(await readFile(join(library, 'libx.so.1'), 'utf8')).toBe('library');
      expect((await stat(join(library, 'libx.so.1.2'))).ino).toBe((await stat(join(native, 'lib', 'libx.so.1.2'))).ino);
      await expect(stat(join(home, 'server-17.0.0'))).rejects.toThrow('ENOENT');
      expect(await materialise(pkg, home)).toBe(bin);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
});
