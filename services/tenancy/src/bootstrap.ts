import { randomUUID } from 'node:crypto';
import { access, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import { principalStream } from '#libs/contracts';
import { type CommandContext, isEmptyLog, type Ledger, Refusal, runCommand } from '#libs/eventsourcing';
import { type AppConfig, BootstrapKeys, CONFIG, LEDGER } from '#libs/platform';
import { writeDurably } from '#libs/postgres';
import { principalDecider } from './domain/principal.js';

export const BOOTSTRAP_ADMIN = 'bootstrap-admin';
const KEY_FILE = 'bootstrap-admin.key';
/** Stands from before the first event until the key was shown: what a crash left undone is done at the next start. */
const UNDONE_FILE = 'bootstrap-admin.undone';
const RECOVERIES_MAX = 1_000;

/** Where the key goes besides its file: the terminal itself and never a logger. */
export type Print = (text: string, keyFile: string) => void;

const toTerminal: Print = (text) => process.stdout.write(text);

/**
 * The first administrator of an empty store, and the way back in for whoever holds the data directory or the database.
 * The only place that shows a secret outside the answer to its creation.
 */
@Injectable()
export class AdminBootstrap {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly keys: BootstrapKeys,
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'dataDir'>,
  ) {}

  /** To be called once the indexes are ready and before the program listens. True if it made and showed a key. */
  async ensureBootstrap(print: Print = toTerminal): Promise<boolean> {
    const { dataDir } = this.config;
    const undone = join(dataDir, UNDONE_FILE);
    const interrupted = await exists(undone);
    if (!interrupted) {
      if (!(await isEmptyLog(this.ledger.store))) return false;
      await mkdir(dataDir, { recursive: true, mode: 0o700 });
      await writeDurably(undone, 'The bootstrap admin key has not been shown yet.\n', 0o600);
    }
    const context = contextOf('bootstrap');
    const registered = await this.register(BOOTSTRAP_ADMIN, context);
    // Another process on the same database may have been first; then it is the one that shows the key.
    const isOurs = registered === 'registered' || (interrupted && registered === 'standing');
    if (isOurs) await this.show(await this.issue(BOOTSTRAP_ADMIN, context), print);
    await rm(undone, { force: true });
    return isOurs;
  }

  /**
   * A new key of the bootstrap admin, which is made a platform administrator again if it was demoted; if it was removed,
   * of a new principal. Answers the principal's id. The ledger names `recovery` as the actor.
   */
  async recover(print: Print = toTerminal): Promise<string> {
    const context = contextOf('recovery');
    for (let n = 0; n <= RECOVERIES_MAX; n += 1) {
      const id = n === 0 ? BOOTSTRAP_ADMIN : `recovery-admin-${n}`;
      if ((await this.register(id, context)) === 'taken') continue;
      const token = await this.issue(id, context);
      await mkdir(this.config.dataDir, { recursive: true, mode: 0o700 });
      await this.show(token, print);
      return id;
    }
    throw new Error(`${RECOVERIES_MAX} recovery administrators were removed; no further id is tried.`);
  }

  /** `standing` = it is a platform administrator already; `taken` = the id can never be one. */
  private async register(id: string, context: CommandContext): Promise<'registered' | 'standing' | 'taken'> {
    try {
      const { events } = await runCommand(this.ledger, {
        stream: principalStream(id),
        decider: principalDecider,
        // Nobody is demoted here, so the number of the other administrators decides nothing.
        command: {
          type: 'PutPrincipal',
          principalType: 'service',
          role: 'platform_admin',
          tenantId: null,
          otherAdmins: 0,
        },
        scope: { tenantId: null, projectId: null },
        context,
      });
      return events.length > 0 ? 'registered' : 'standing';
    } catch (error) {
      if (error instanceof Refusal && (error.code === 'PRINCIPAL_REMOVED' || error.code === 'PRINCIPAL_EXISTS'))
        return 'taken';
      throw error;
    }
  }

  private issue(id: string, registration: CommandContext): Promise<string> {
    return this.keys.issue(id, { ...registration, commandId: randomUUID() });
  }

  private async show(token: string, print: Print): Promise<void> {
    const path = join(this.config.dataDir, KEY_FILE);
    await writeDurably(path, `${token}\n`, 0o600);
    print(`\nThe administrator's key, shown this once and kept in ${path}:\n\n    ${token}\n\n`, path);
  }
}

function contextOf(part: 'bootstrap' | 'recovery'): CommandContext {
  const commandId = randomUUID();
  return {
    commandId,
    correlationId: commandId,
    causationId: null,
    requestHash: null,
    actor: { type: 'system', id: part, via: 'internal' },
    actorPart: null,
  };
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
