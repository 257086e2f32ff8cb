import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { isRequired } from './required-part.js';

const POM = fileURLToPath(new URL('../../../deploy/kafka/pom.xml', import.meta.url));
const CACHE = fileURLToPath(new URL('../../../node_modules/.cache/steward-kafka', import.meta.url));
/** What a broker of Kafka 4 needs at least. */
const JAVA_MAJOR_MIN = 17;
const FETCH_MS_MAX = 300_000;

const answers = (command: string, args: readonly string[]): string | undefined => {
  try {
    return execFileSync(command, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 });
  } catch {
    return undefined;
  }
};

/** The folder of the jars: one a version of the pom, so that another version of Kafka never meets those of the last. */
export const kafkaJars = (): string =>
  join(CACHE, createHash('sha256').update(readFileSync(POM)).digest('hex').slice(0, 16));

/** By Maven, into the folder of the jars. Two that fetch at once do not meet. Throws what Maven says. */
function fetchJars(): void {
  mkdirSync(CACHE, { recursive: true });
  const fetched = mkdtempSync(join(CACHE, 'fetching-'));
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${fetched}`];
  // Java takes the home of the account and knows nothing of HOME, and some accounts have none.
  const home = `-Duser.home=${homedir()}`;
  try {
    execFileSync('mvn', ['-q', '-B', home, '-f', POM, ...goal], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: FETCH_MS_MAX,
    });
    // Another one may have been quicker; its jars are the same.
    if (!existsSync(kafkaJars())) renameSync(fetched, kafkaJars());
  } catch (error) {
    if (!existsSync(kafkaJars())) throw error;
  } finally {
    rmSync(fetched, { recursive: true, force: true });
  }
}

function missing(): string | undefined {
  const [, major] = /^(?:openjdk|java) (\d+)/m.exec(answers('java', ['--version']) ?? '') ?? [];
  if (!(Number(major) >= JAVA_MAJOR_MIN)) return `Java ${JAVA_MAJOR_MIN} or later is not installed`;
  if (existsSync(kafkaJars())) return undefined;
  if (answers('mvn', ['--version']) === undefined) return 'Maven, which fetches the jars of Kafka, is not installed';
  try {
    fetchJars();
    return undefined;
  } catch (error) {
    const { stdout } = error as { stdout?: unknown };
    const [said = 'it did not end in time'] =
      /(?<=^\[ERROR\] ).+/m.exec(stripVTControlCharacters(String(stdout))) ?? [];
    return `Maven could not fetch the jars of Kafka (${said})`;
  }
}

/**
 * Why no broker can be started here; undefined where one can, and then its jars are there. Where `STEWARD_TEST_REQUIRE`
 * names kafka a reason is thrown, so that a build that must test on a real broker never passes without.
 */
function whyNoKafka(): string | undefined {
  const reason = missing();
  if (reason !== undefined && isRequired('kafka')) throw new Error(`Kafka is required: ${reason}.`);
  return reason;
}

/** A suite that needs real brokers. Where none can be started it is left out, and the report says of each why. */
export function describeOnKafka(name: string, define: () => void): void {
  const reason = whyNoKafka();
  if (reason === undefined) {
    describe(name, define);
    return;
  }
  process.stdout.write(`${name}: left out, for ${reason}\n`);
  describe.skip(`${name} (left out, for ${reason})`, define);
}
