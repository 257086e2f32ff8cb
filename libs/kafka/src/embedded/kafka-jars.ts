import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

const POM = join('deploy', 'kafka', 'pom.xml');
/** What a broker of Kafka 4 needs at least. */
const JAVA_MAJOR_MIN = 17;
const FETCH_MS_MAX = 300_000;

/** The clone that this file, or what was built from it, stands in; undefined where the program stands by itself. */
function cloneRoot(): string | undefined {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== dirname(at); at = dirname(at))
    if (existsSync(join(at, POM))) return at;
  return undefined;
}

interface Places {
  readonly pom: string;
  readonly cache: string;
  /** One a version of the pom, so that another version of Kafka never meets the jars of the last. */
  readonly jars: string;
}

function places(): Places | undefined {
  const root = cloneRoot();
  if (root === undefined) return undefined;
  const pom = join(root, POM);
  const cache = join(root, 'node_modules', '.cache', 'steward-kafka');
  const version = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 16);
  return { pom, cache, jars: join(cache, version) };
}

const answers = (command: string, args: readonly string[]): string | undefined => {
  try {
    return execFileSync(command, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 });
  } catch {
    return undefined;
  }
};

/** By Maven, into the folder of the jars. Two that fetch at once do not meet. Throws what Maven says. */
function fetchJars({ pom, cache, jars }: Places): void {
  mkdirSync(cache, { recursive: true });
  const fetched = mkdtempSync(join(cache, 'fetching-'));
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${fetched}`];
  // Java takes the home of the account and knows nothing of HOME, and some accounts have none.
  const home = `-Duser.home=${homedir()}`;
  try {
    execFileSync('mvn', ['-q', '-B', home, '-f', pom, ...goal], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: FETCH_MS_MAX,
    });
    // Another one may have been quicker; its jars are the same.
    if (!existsSync(jars)) renameSync(fetched, jars);
  } catch (error) {
    if (!existsSync(jars)) throw error;
  } finally {
    rmSync(fetched, { recursive: true, force: true });
  }
}

/** Why no broker can be started here; undefined where one can, and then its jars are there: Maven fetches them once. */
export function whyNoKafka(): string | undefined {
  const [, major] = /^(?:openjdk|java) (\d+)/m.exec(answers('java', ['--version']) ?? '') ?? [];
  if (!(Number(major) >= JAVA_MAJOR_MIN)) return `Java ${JAVA_MAJOR_MIN} or later is not installed`;
  const found = places();
  if (found === undefined) return `${POM}, which names the jars of Kafka, does not stand above this program`;
  if (existsSync(found.jars)) return undefined;
  if (answers('mvn', ['--version']) === undefined) return 'Maven, which fetches the jars of Kafka, is not installed';
  try {
    fetchJars(found);
    return undefined;
  } catch (error) {
    const { stdout } = error as { stdout?: unknown };
    const [said = 'it did not end in time'] =
      /(?<=^\[ERROR\] ).+/m.exec(stripVTControlCharacters(String(stdout))) ?? [];
    return `Maven could not fetch the jars of Kafka (${said})`;
  }
}

/** The folder of the jars. Throws where `whyNoKafka` has a reason. */
export function kafkaJars(): string {
  const found = places();
  if (found === undefined || !existsSync(found.jars)) throw new Error('The jars of Kafka are not there.');
  return found.jars;
}
