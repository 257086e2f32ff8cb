// P8 and P9 ask every contender for the same: one hot project, 64 callers for 50 members, each reserving, committing and
// releasing three resources over and over. A contender is `{change(step, wish) -> granted}` of one project.
import { hash } from 'node:crypto';
import { v7 as uuidV7 } from 'uuid';

export const CALLERS = 64;
export const MEMBERS = 50;
export const STEPS = ['reserve', 'commit', 'release'];
export const TTL_SECONDS = 900;
const SERVICE = 'container-compute';

export const memberOf = (caller) => `user-${caller % MEMBERS}`;

/** What one reservation asks for, in the order of events. */
export const items = [
  { service: SERVICE, resource: 'cpu', amount: 8_000 },
  { service: SERVICE, resource: 'gpu', amount: 1_000 },
  { service: SERVICE, resource: 'memory', amount: 65_536 },
];

/** How many reservations the limits of project and member leave room for: all callers', and not one more. */
export const ROOM = { project: CALLERS, member: Math.ceil(CALLERS / MEMBERS) };
/** Half of the callers must be refused here. */
export const RACE_ROOM = { project: CALLERS / 2, member: Math.ceil(CALLERS / MEMBERS) };

export function aWish(caller) {
  const userId = memberOf(caller);
  return { id: uuidV7(), userId, requestHash: hash('sha256', JSON.stringify([userId, items, TTL_SECONDS]), 'hex') };
}

/**
 * The callers at work for `ms`: commands a second within that time, and how long each took. What is reserved by then is
 * still committed and released, so `commands` is the number of all.
 */
export async function work(changers, ms) {
  const endMs = performance.now() + ms;
  const tookMs = [];
  let inTime = 0;
  const caller = async (change, n) => {
    while (performance.now() < endMs) {
      const wish = aWish(n);
      for (const step of STEPS) {
        const sinceMs = performance.now();
        if (!(await change(step, wish))) throw new Error(`${step} was refused although there is room.`);
        const doneMs = performance.now();
        tookMs.push(doneMs - sinceMs);
        if (doneMs <= endMs) inTime += 1;
      }
    }
  };
  await Promise.all(changers.map(caller));
  tookMs.sort((a, b) => a - b);
  const at = (share) => tookMs[Math.min(tookMs.length - 1, Math.floor(tookMs.length * share))];
  return { commands: tookMs.length, perSecond: inTime / (ms / 1_000), p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** All callers reserve at once where only half of them fit: throws unless exactly those that fit are granted. */
export async function race(name, changers) {
  const granted = await Promise.all(changers.map((change, caller) => change('reserve', aWish(caller))));
  const count = granted.filter(Boolean).length;
  if (count !== RACE_ROOM.project)
    throw new Error(`${name} granted ${count} reservations where ${RACE_ROOM.project} fit.`);
}

/** Throws if at any moment of the history (in its order) more was held than there was room for, or if any is left. */
export function holdToRoom(name, history, room) {
  const held = new Map();
  let inProject = 0;
  for (const { step, userId } of history) {
    const by = step === 'reserve' ? 1 : step === 'release' ? -1 : 0;
    inProject += by;
    held.set(userId, (held.get(userId) ?? 0) + by);
    if (inProject > room.project || held.get(userId) > room.member) throw new Error(`${name} has oversold.`);
  }
  return { commands: history.length, left: inProject };
}
