import { QuotaLedgers } from './quota-ledgers.js';
import { QuotaMetrics } from './quota-metrics.js';
import { QuotaSnapshots } from './quota-snapshots.js';

/** What of the writers QuotasModule provides. */
export const quotaWriterProviders = [QuotaLedgers, QuotaMetrics, QuotaSnapshots];
