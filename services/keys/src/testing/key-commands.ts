import { CommandBus, CqrsModule } from '@nestjs/cqrs';
import { Test } from '@nestjs/testing';
import { IndexFollower } from '#libs/eventsourcing';
import {
  AccessIndex,
  AcknowledgedPositions,
  CLOCK,
  DATA_KEYS,
  KeyDirectory,
  LEDGER,
  POOL,
  ReadModels,
} from '#libs/platform';
import { TimeHandler } from '../expiry.scheduler.js';
import { KeyFacts } from '../key-facts.js';
import { KeyWriter } from '../key-writer.js';
import { LastUses } from '../usage/last-uses.js';
import { VerificationIndex } from '../verification/verification-index.js';
import type { KeyLedger } from './key-ledger.js';

/** The command bus with what time brings, as a process that has just started on this ledger has it. */
export interface KeyCommands {
  readonly bus: CommandBus;
  readonly facts: KeyFacts;
  readonly directory: KeyDirectory;
  close(): Promise<void>;
}

export async function startKeyCommands(ledger: KeyLedger): Promise<KeyCommands> {
  const access = new AccessIndex();
  const directory = new VerificationIndex(() => undefined);
  const { store, codec } = ledger;
  const follower = new IndexFollower({ store, codec, indexes: [access, directory] });
  follower.start();
  await follower.ready;
  const module = await Test.createTestingModule({
    imports: [CqrsModule],
    providers: [
      { provide: LEDGER, useValue: ledger.ledger },
      { provide: POOL, useValue: ledger.pool },
      { provide: CLOCK, useValue: ledger.clock },
      { provide: DATA_KEYS, useValue: ledger.dataKeys },
      { provide: ReadModels, useValue: ledger.host },
      { provide: AcknowledgedPositions, useValue: { of: () => undefined, max: () => undefined } },
      { provide: KeyDirectory, useValue: directory },
      { provide: AccessIndex, useValue: access },
      { provide: IndexFollower, useValue: follower },
      { provide: LastUses, useValue: ledger.lastUses },
      KeyFacts,
      KeyWriter,
      TimeHandler,
    ],
  }).compile();
  await module.init();
  return {
    bus: module.get(CommandBus),
    facts: module.get(KeyFacts),
    directory,
    async close() {
      await follower.close();
      await module.close();
    },
  };
}
