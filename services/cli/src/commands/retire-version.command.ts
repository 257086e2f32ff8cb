import { Argument, type Command } from 'commander';
import pg from 'pg';
import type { KeyEvent } from '#libs/contracts';
import type { Clock, Codec, EventStore, LedgerRead, StoredEvent } from '#libs/eventsourcing';
import { FullRead, retireVersion } from '#libs/postgres';
import { evolve, isValidSecret, type KeyState } from '../../../keys/src/domain/key-state.js';
import { withStore } from '../session.js';
import type { Terminal } from '../terminal.js';

export function addRetireVersion(admin: Command, terminal: Terminal): void {
  admin
    .command('retire-version')
    .description('drop a version of a key file that nothing uses any more, from the file and the database')
    .addArgument(new Argument('<kind>').choices(['kek', 'pepper']))
    .argument('<version>')
    .action(async (kind: 'kek' | 'pepper', version: string) => {
      await withStore(terminal, async ({ storage }) => {
        const { database, ledgerElsewhere, store, codec, clock } = storage;
        const file = kind === 'kek' ? database.kekFile : database.pepperFile;
        const owner = new pg.Client({ ...database.ownerConnection, connectionTimeoutMillis: 5_000 });
        // A connection that breaks fails the statement in hand.
        owner.on('error', () => undefined);
        await owner.connect();
        try {
          if (!(await isKnown(owner, kind, version))) throw new Error(`There is no version ${version} of the ${kind}.`);
          const uses = (): Promise<number> =>
            pepperUses({ ...database, ledgerElsewhere, store, codec, clock, version });
          await retireVersion(owner, kind, version, file, uses);
        } finally {
          await owner.end();
        }
      });
      terminal.print(`Version ${version} of the ${kind} is retired.`);
    });
}

/** Whoever opened the store has held the file's versions against these. */
async function isKnown(owner: pg.Client, kind: 'kek' | 'pepper', version: string): Promise<boolean> {
  const { rowCount } = await owner.query('select 1 from ledger.key_checks where kind = $1 and version = $2', [
    kind,
    version,
  ]);
  return rowCount === 1;
}

interface PepperUses {
  readonly connection: pg.ClientConfig;
  readonly ledgerElsewhere: LedgerRead | undefined;
  readonly store: EventStore;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly version: string;
}

/** How many secrets of keys that are not deleted still verify under a version of the pepper, by the log itself. */
export async function pepperUses(options: PepperUses): Promise<number> {
  const { store, codec, clock, version } = options;
  const at = clock.now();
  const read = await FullRead.open(options.connection, options.ledgerElsewhere);
  let uses = 0;
  let stream = '';
  let state: KeyState = { kind: 'absent' };
  const countOne = (): void => {
    if (state.kind === 'absent' || state.kind === 'deleted') return;
    uses += state.secrets.filter((secret) => secret.pepperVersion === version && isValidSecret(secret, at)).length;
  };
  try {
    for await (const page of read.byStream(await store.head(), 'key-'))
      for (const row of page) {
        if (row.stream !== stream) {
          countOne();
          stream = row.stream;
          state = { kind: 'absent' };
        }
        const event = codec.decode({ ...row, privateParts: {} } satisfies StoredEvent);
        state = evolve(state, event as unknown as KeyEvent, event);
      }
    countOne();
    return uses;
  } finally {
    await read.close();
  }
}
