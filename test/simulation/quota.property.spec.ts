import { seededRandom } from '#libs/testing';
import { defaultCatalogue } from '../../services/quotas/src/domain/catalogue.js';
import { execute } from '../../services/quotas/src/domain/decide.js';
import { evolve } from '../../services/quotas/src/domain/evolve.js';
import { quotaRow } from '../../services/quotas/src/domain/limits.js';
import { ProjectQuota } from '../../services/quotas/src/domain/project-quota.js';
import { restored, snapshotOf } from '../../services/quotas/src/domain/snapshot.js';
import { Simulation } from './quota.simulation.js';

const domain = { ProjectQuota, execute, evolve, quotaRow, snapshotOf, restored, defaultCatalogue };
const COMMANDS = Number(process.env['STEWARD_SIMULATED_COMMANDS'] ?? 100_000);
const COMMANDS_PER_LIFE = 400;

it('the ledger agrees with the reference and keeps its invariants under races, crashes, jumps of the clock and repetition', () => {
  const { seed, random } = seededRandom();
  process.stdout.write(`quota.property STEWARD_SEED=${seed}\n`);
  const codes = new Map<string, number>();
  for (let commands = 0; commands < COMMANDS;) {
    const life = new Simulation(domain, random);
    life.run(COMMANDS_PER_LIFE);
    commands += life.commands;
    for (const [code, count] of life.codes) codes.set(code, (codes.get(code) ?? 0) + count);
  }
  // What never comes up is not tested, so the commands must have met every end that matters.
  const met = [...codes].sort().map(([code]) => code);
  expect(met).toEqual(expect.arrayContaining(ends));
}, 300_000);

const ends = [
  'Allocate CHECKED',
  'Allocate DONE',
  'Allocate QUOTA_EXCEEDED',
  'Allocate RESOURCE_REF_TAKEN',
  'BulkSetQuota DONE',
  'BulkSetQuota QUOTA_BELOW_USAGE',
  'CommitReservation AGAIN',
  'CommitReservation ALREADY_COMMITTED',
  'CommitReservation ALREADY_RELEASED',
  'CommitReservation DONE',
  'CommitReservation EXCEEDS_RESERVED',
  'CommitReservation PROJECT_FROZEN',
  'CommitReservation QUOTA_EXCEEDED',
  'CommitReservation RESERVATION_EXPIRED',
  'CommitReservation RESOURCE_REF_TAKEN',
  'ExtendReservation DONE',
  'ExtendReservation TTL_TOO_LONG',
  'Reconcile DONE',
  'Reconcile STALE_REPORT',
  'ReleaseAllocation AGAIN',
  'ReleaseAllocation DONE',
  'ReleaseReservation AGAIN',
  'ReleaseReservation DONE',
  'RemoveQuotaMember DONE',
  'Reserve AGAIN',
  'Reserve CHECKED',
  'Reserve DONE',
  'Reserve IDEMPOTENCY_MISMATCH',
  'Reserve ID_TOO_OLD',
  'Reserve MEMBER_REMOVED',
  'Reserve MEMBER_UNKNOWN',
  'Reserve PROJECT_FROZEN',
  'Reserve QUOTA_EXCEEDED',
  'ResizeAllocation DONE',
  'ResizeAllocation QUOTA_EXCEEDED',
  'SetQuota DONE',
  'SetQuota MEMBER_ABOVE_PROJECT',
  'SetQuota PARTITION_EXCEEDED',
  'SetQuota QUOTA_BELOW_USAGE',
  'SetQuotaPolicy PARTITION_EXCEEDED',
];
