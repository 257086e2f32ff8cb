import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const POM = fileURLToPath(new URL('../../../deploy/kafka/pom.xml', import.meta.url));
const CACHE = fileURLToPath(new URL('../../../node_modules/.cache/steward-kafka', import.meta.url));
/** What a broker of Kafka 4 needs at least. */
const JAVA_MAJOR_MIN = 17;
const INSTALL_MS_MAX = 300_000;

const answers = (command: string, args: readonly string[]): string | undefined => {
  try {
    return execFileSync(command, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 });
  } catch {
    return undefined;
  }
};

/** One folder a version of the pom, so that another version of Kafka never meets the jars of the last. */
const jarFolder = (): string => join(CACHE, createHash('sha256').update(readFileSync(POM)).digest('hex').slice(0, 16));

function missing(): string | undefined {
  const [, major] = /^(?:openjdk|java) (\d+)/m.exec(answers('java', ['--version']) ?? '') ?? [];
  if (!(Number(major) >= JAVA_MAJOR_MIN)) return `Java ${JAVA_MAJOR_MIN} or later is not installed`;
  if (!existsSync(jarFolder()) && answers('mvn', ['--version']) === undefined)
    return 'Maven, which fetches the jars of Kafka, is not installed';
  return undefined;
}

/**
 * Why no broker can be started here; undefined where one can. Where `STEWARD_TEST_REQUIRE` names kafka a reason is thrown,
 * so that a build that must test on a real broker never passes without.
 */
export function whyNoKafka(): string | undefined {
  const reason = missing();
  const required = (process.env['STEWARD_TEST_REQUIRE'] ?? '').split(',').map((part) => part.trim());
  if (reason !== undefined && required.includes('kafka')) throw new Error(`Kafka is required: ${reason}.`);
  return reason;
}

/** The folder of the jars, fetched by Maven at the first use. Two that fetch at once do not meet. */
export async function kafkaJars(): Promise<string> {
  const folder = jarFolder();
  if (existsSync(folder)) return folder;
  await mkdir(CACHE, { recursive: true });
  const fetched = await mkdtemp(join(CACHE, 'fetching-'));
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${fetched}`];
  try {
    await promisify(execFile)('mvn', ['-q', '-B', '-f', POM, ...goal], { timeout: INSTALL_MS_MAX });
    // Another one may have been quicker; its jars are the same.
    await rename(fetched, folder).catch(() => undefined);
  } finally {
    await rm(fetched, { recursive: true, force: true });
  }
  return folder;
}
