// The two usual ways to keep quotas in a database, each as well as it goes on one hot project: rows that are locked, and
// an event stream with an optimistic version and retries. Both check the limits of project and member, keep a row that
// makes the request repeatable, and are as durable as the server is.
import { setTimeout as sleep } from 'node:timers/promises';
import { items, memberOf, MEMBERS } from './quota-work.mjs';

export const RIVALS_DDL = `
create schema bench;
create table bench.requests (id uuid, step text, request_hash text not null, primary key (id, step));
create table bench.usage (
  project text, scope text, limits bigint[] not null, used bigint[] not null, reserved bigint[] not null,
  primary key (project, scope)
);
create table bench.reservations (
  id uuid primary key, user_id text not null, amounts bigint[] not null, state text not null
);
create table bench.history (
  n bigint generated always as identity primary key, project text, step text, user_id text, reservation uuid
);
create table bench.events (
  project text, version bigint, step text, user_id text, reservation uuid, data jsonb, primary key (project, version)
)`;

const amounts = items.map(({ amount }) => amount);
const none = amounts.map(() => 0);
const times = (room) => amounts.map((amount) => amount * room);
const plus = (counted, sign) => counted.map((sum, n) => sum + sign * amounts[n]);

/** What a step does to used and reserved of one scope. */
function counted({ used, reserved }, step) {
  switch (step) {
    case 'reserve':
      return { used, reserved: plus(reserved, 1) };
    case 'commit':
      return { used: plus(used, 1), reserved: plus(reserved, -1) };
    case 'release':
      return { used: plus(used, -1), reserved };
  }
}

const fits = ({ limits, used, reserved }) => amounts.every((amount, n) => used[n] + reserved[n] + amount <= limits[n]);

/** As Cinder and Harbor do it: project and member are locked and checked, and both are written, in one transaction. */
export async function rowLockProject(pool, projectId, room) {
  const scopes = ['', ...Array.from({ length: MEMBERS }, (_, n) => memberOf(n))];
  for (const scope of scopes)
    await pool.query('insert into bench.usage values ($1, $2, $3, $4, $4)', [
      projectId,
      scope,
      times(scope === '' ? room.project : room.member),
      none,
    ]);
  const lock = {
    name: 'lock',
    text: `select limits, used, reserved from bench.usage where project = $1 and scope in ('', $2)
      order by scope for update`,
  };
  const write = {
    name: 'write',
    text: `with request as (insert into bench.requests values ($1, $2, $3)),
      reservation as (insert into bench.reservations values ($1, $4, $5, $2)
        on conflict (id) do update set state = excluded.state),
      history as (insert into bench.history (project, step, user_id, reservation) values ($6, $2, $4, $1))
      update bench.usage u set used = n.used, reserved = n.reserved
      from (values ('', $7::bigint[], $8::bigint[]), ($4, $9, $10)) n (scope, used, reserved)
      where u.project = $6 and u.scope = n.scope`,
  };
  const numbers = ({ limits, used, reserved }) => ({
    limits: limits.map(Number),
    used: used.map(Number),
    reserved: reserved.map(Number),
  });
  return {
    async change(step, { id, userId, requestHash }) {
      const client = await pool.connect();
      try {
        await client.query('begin');
        const { rows } = await client.query({ ...lock, values: [projectId, userId] });
        const found = rows.map(numbers);
        if (step === 'reserve' && !found.every(fits)) {
          await client.query('rollback');
          return false;
        }
        const [project, member] = found.map((scope) => counted(scope, step));
        const sums = [project.used, project.reserved, member.used, member.reserved];
        await client.query({ ...write, values: [id, step, requestHash, userId, amounts, projectId, ...sums] });
        await client.query('commit');
        return true;
      } catch (error) {
        await client.query('rollback');
        throw error;
      } finally {
        client.release();
      }
    },
    async history() {
      const text = 'select step, user_id as "userId" from bench.history where project = $1 order by n';
      return (await pool.query(text, [projectId])).rows;
    },
    close: () => Promise.resolve(),
  };
}

const UNIQUE_VIOLATION = '23505';
const BACKOFF_MS = 5;
const BACKOFF_MS_MAX = 1_000;

/**
 * The recipe of most event stores: fold, decide, append at the expected version, and on a conflict read what came and
 * try again after a random, growing pause. The callers even share the folded state and prepared statements.
 */
export async function optimisticProject(pool, projectId, room) {
  const scopes = new Map();
  const scopeOf = (scope) => {
    if (!scopes.has(scope))
      scopes.set(scope, { limits: times(scope === '' ? room.project : room.member), used: none, reserved: none });
    return scopes.get(scope);
  };
  let version = 0;
  const apply = (event) => {
    if (Number(event.version) !== version + 1) return;
    version += 1;
    for (const scope of ['', event.user_id]) Object.assign(scopeOf(scope), counted(scopeOf(scope), event.step));
  };
  const newer = {
    name: 'newer',
    text: 'select version, step, user_id from bench.events where project = $1 and version > $2 order by version',
  };
  const append = {
    name: 'append',
    text: `with request as (insert into bench.requests values ($1, $2, $3))
      insert into bench.events values ($4, $5, $2, $6, $1, $7)`,
  };
  return {
    async change(step, { id, userId, requestHash }) {
      for (let attempt = 0; ; attempt += 1) {
        const mayBe = step !== 'reserve' || ['', userId].map(scopeOf).every(fits);
        const next = version + 1;
        if (mayBe)
          try {
            const values = [id, step, requestHash, projectId, next, userId, JSON.stringify({ items })];
            await pool.query({ ...append, values });
            apply({ version: next, step, user_id: userId });
            return true;
          } catch (error) {
            if (error.code !== UNIQUE_VIOLATION) throw error;
            await sleep(Math.random() * Math.min(BACKOFF_MS * 2 ** attempt, BACKOFF_MS_MAX));
          }
        const { rows } = await pool.query({ ...newer, values: [projectId, version] });
        rows.forEach(apply);
        // What is full by all that was committed is refused.
        if (!mayBe && rows.length === 0) return false;
      }
    },
    async history() {
      const text = 'select step, user_id as "userId" from bench.events where project = $1 order by version';
      return (await pool.query(text, [projectId])).rows;
    },
    close: () => Promise.resolve(),
  };
}
