import { CommandRights } from '../forwarding/command-rights.js';
import { ForwardedCommands } from '../forwarding/forwarded-commands.js';
import { OwnerClient } from '../forwarding/owner-client.js';
import { QuotaPeers } from '../forwarding/quota-peers.js';
import { DueSweeper } from './due-sweeper.js';
import { QuotaLedgers } from './quota-ledgers.js';
import { QuotaMetrics } from './quota-metrics.js';
import { QuotaSnapshots } from './quota-snapshots.js';

/** What of the writers QuotasModule provides. */
export const quotaWriterProviders = [
  CommandRights,
  DueSweeper,
  ForwardedCommands,
  OwnerClient,
  QuotaLedgers,
  QuotaMetrics,
  QuotaPeers,
  QuotaSnapshots,
];
