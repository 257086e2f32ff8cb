import { type ActorName, actors } from './actors.js';
import { Cell } from './cell.js';
import type { Outcome, Row } from './expectations.js';
import type { Answer, HttpClient } from './http-client.js';
import { requests } from './requests.js';
import { World } from './world.js';

export interface Ground {
  readonly client: HttpClient;
  readonly signIn: (userId: string) => Promise<string>;
}

/** Of one cell; `seen` is a status where it is none that a cell may have. */
export interface Judged {
  readonly actor: ActorName;
  readonly expected: Outcome;
  readonly seen: string;
  readonly body: string;
}

const outcomeOf = (status: number): string => (status >= 200 && status < 300 ? '2xx' : String(status));

async function judge(ground: Ground, row: Row, world: World, actor: ActorName): Promise<Judged> {
  const expected = row.expected.get(actor) ?? 'n/a';
  const ask = requests[row.route];
  if (ask === undefined) throw new Error(`requests.ts does not say how ${row.route} is asked.`);
  const [method = '', template = ''] = (row.route.split('#')[0] ?? '').split(' ');
  const someone = await world.someone(actor);
  const changes = method !== 'GET' && expected === '2xx';
  const cell = new Cell({ world, relation: row.relation, actor, someone, changes });
  if (template.includes('{userId}')) await cell.ofNewMember();
  if (cell.counts) await ask.prepare?.(cell);
  const path = await cell.pathOf(template, ask.path);
  const answer = await ground.client.call(someone.token, method, path, await ask.body?.(cell));
  return { actor, expected, seen: outcomeOf((ask.seen ?? whole)(answer)), body: toldBy(answer) };
}

const whole = ({ status }: Answer): number => status;

/** The code, where there is one, and the beginning of the body. */
const toldBy = ({ body }: Answer): string =>
  `${(body as { code?: string } | undefined)?.code ?? 'no code'} ${JSON.stringify(body ?? null).slice(0, 200)}`;

/** Asks every cell of the row, in a world that is made for it. */
export async function askRow(ground: Ground, row: Row): Promise<Judged[]> {
  const newWorld = () => World.of(ground.client, ground.signIn, row.relation);
  const asked = (Object.keys(actors) as ActorName[]).filter((actor) => row.expected.get(actor) !== 'n/a');
  const isAlone = (actor: ActorName): boolean =>
    requests[row.route]?.ends === true && row.expected.get(actor) === '2xx';
  const shared = await newWorld();
  return Promise.all(asked.map(async (actor) => judge(ground, row, isAlone(actor) ? await newWorld() : shared, actor)));
}
