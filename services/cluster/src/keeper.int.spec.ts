import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { endAll } from './keeper.js';

describe('what ends the processes of a cluster that was killed', () => {
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  async function aProcess(program: string): Promise<ChildProcess & { readonly pid: number }> {
    const child = spawn(process.execPath, ['-e', `${program}; setInterval(() => {}, 1000); console.log('up')`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    children.push(child);
    await once(child.stdout, 'data');
    return child as ChildProcess & { readonly pid: number };
  }

  it('asks each by its own signal, kills what does not end, and minds none that has ended', async () => {
    const polite = await aProcess(`process.on('SIGINT', () => process.exit(7))`);
    const deaf = await aProcess(`process.on('SIGTERM', () => {})`);
    const gone = await aProcess('');
    gone.kill('SIGKILL');
    await once(gone, 'exit');
    const ended = Promise.all([once(polite, 'exit'), once(deaf, 'exit')]);
    await endAll(
      [
        { pid: polite.pid, signal: 'SIGINT' },
        { pid: deaf.pid, signal: 'SIGTERM' },
        { pid: gone.pid, signal: 'SIGTERM' },
      ],
      { orderlyMsMax: 500 },
    );
    expect(await ended).toEqual([
      [7, null],
      [null, 'SIGKILL'],
    ]);
  });
});
