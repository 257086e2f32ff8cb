import { KEY_USAGE_TOPIC, type KeyUsageBatch } from '#libs/contracts';
import type { OutgoingMessage } from '#libs/kafka';
import { ID_PATTERN, KEY_ID_PATTERN, utcTimeOf } from '#libs/platform';

/** What stands on the topic is no batch that this release can read. */
export class UsageMessageInvalid extends Error {
  constructor(field: string) {
    super(`A message of key usage is wrong in ${field}.`);
    this.name = 'UsageMessageInvalid';
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const CODE = /^[A-Z][A-Z_]{0,63}$/;
const ROWS_MAX = 100_000;
const VERSION_MAX = 1_000_000;
/** Of one row; so no sum of them passes what the table holds. */
const COUNT_MAX = 1_000_000_000;

/** A batch as a CloudEvent in binary mode. Its key is the source, so all of one source stand in order. */
export function messageOfUsage(batch: KeyUsageBatch): OutgoingMessage {
  const { source, sequence } = batch;
  return {
    topic: KEY_USAGE_TOPIC,
    key: source,
    value: Buffer.from(JSON.stringify(batch), 'utf8'),
    headers: {
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_id: `${source}.${sequence}`,
      ce_source: '/steward/keys',
      ce_type: 'steward.keys.usage.v1',
      ce_subject: source,
      ce_sequence: String(sequence),
    },
  };
}

type Fields = Readonly<Record<string, unknown>>;
type Check = (value: unknown) => boolean;

const matches =
  (pattern: RegExp): Check =>
  (value) =>
    typeof value === 'string' && pattern.test(value);
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const upTo =
  (max: number): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= max;
const isTime: Check = (value) => typeof value === 'string' && utcTimeOf(value) === value;

const countFields: Readonly<Record<string, Check>> = {
  minute: isTime,
  keyId: orNull(matches(KEY_ID_PATTERN)),
  tenantId: orNull(matches(ID_PATTERN)),
  projectId: orNull(matches(ID_PATTERN)),
  service: matches(ID_PATTERN),
  code: matches(CODE),
  count: upTo(COUNT_MAX),
};
const useFields: Readonly<Record<string, Check>> = {
  keyId: matches(KEY_ID_PATTERN),
  version: upTo(VERSION_MAX),
  at: isTime,
};
const rows =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    Array.isArray(value) && value.length <= ROWS_MAX && value.every((row) => wrongField(row, fields) === undefined);
const batchFields: Readonly<Record<string, Check>> = {
  v: (value) => value === 1,
  source: matches(UUID),
  sequence: upTo(Number.MAX_SAFE_INTEGER),
  counts: rows(countFields),
  lastUses: rows(useFields),
};

function wrongField(value: unknown, fields: Readonly<Record<string, Check>>): string | undefined {
  if (typeof value !== 'object' || value === null) return 'its form';
  return Object.entries(fields).find(([name, isRight]) => !isRight((value as Fields)[name]))?.[0];
}

/** Fields that a newer release added are let pass. Throws UsageMessageInvalid, which repeats nothing of the message. */
export function readUsageMessage(bytes: Buffer): KeyUsageBatch {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new UsageMessageInvalid('its form');
  }
  const wrong = wrongField(value, batchFields);
  if (wrong !== undefined) throw new UsageMessageInvalid(wrong);
  return value as KeyUsageBatch;
}
