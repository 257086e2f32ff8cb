import { parseArgs } from 'node:util';
import { ConfigError, createLogger, loadConfig, orExplain } from '#libs/platform';
import { Front } from './front.js';
import type { Replica } from './replicas.js';

/** `name=host:port,host:port` */
function readService(text: string): [string, Replica[]] {
  const [, service = '', list = ''] = /^([a-z]+)=(.+)$/.exec(text) ?? [];
  const replicas = list.split(',').map((address) => {
    const [, host = '', port = ''] = /^(.+):(\d{1,5})$/.exec(address) ?? [];
    return { service, host: host.replace(/^\[(.+)\]$/, '$1'), port: Number(port) };
  });
  if (replicas.some(({ host, port }) => host === '' || port < 1 || port > 65_535))
    throw new ConfigError(['--service and --watch take name=host:port,host:port.']);
  return [service, replicas];
}

await orExplain(async () => {
  const list = { type: 'string', multiple: true } as const;
  const { values } = parseArgs({ options: { service: list, watch: list } });
  const config = loadConfig(process.env);
  const logger = createLogger({ level: config.logLevel, name: 'front' });
  const front = await Front.start({
    config,
    services: Object.fromEntries((values.service ?? []).map(readService)),
    watched: Object.fromEntries((values.watch ?? []).map(readService)),
    logger,
  });

  const stopping = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      if (stopping.signal.aborted) return;
      stopping.abort();
      void front.stop().finally(() => process.exit(0));
    });
  await front.learned;
  if (!stopping.signal.aborted)
    logger.info({ service: 'front', http: front.url, docs: `${front.url}/docs` }, 'Steward is ready');
});
