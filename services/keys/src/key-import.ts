import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { type ErrorCode, errorCodes } from '#libs/contracts';
import { keyIdOfImport, Refusal } from '#libs/eventsourcing';
import {
  AccessIndex,
  Gatekeeper,
  INSTALLATION_KEY,
  type Logger,
  LOGGER,
  type NdjsonLine,
  readFields,
  refusalOf,
  type RequestContext,
  Targets,
  type Verdict,
} from '#libs/platform';
import { forEachInParallel } from './in-parallel.js';
import { requestOf } from './key.commands.js';
import { boundsOf, KeyFacts } from './key-facts.js';
import { wishOf } from './key-wish.js';
import { KeyWriter } from './key-writer.js';
import { ImportLine } from './keys.dto.js';
import { NewSecrets } from './new-secrets.js';

/** Lines that are worked on at once: they share commits, and the stream waits while they are. */
const LINES_AT_ONCE = 64;
/** What a file in the wrong format would else answer without end. */
const FAILED_LINES_MAX = 10_000;

export interface ImportFailure {
  readonly line: number;
  readonly code: ErrorCode;
  readonly message: string;
}

export interface ImportAnswer {
  readonly imported: number;
  readonly unchanged: number;
  /** In the order of the lines; 10,000 at most. */
  readonly failed: readonly ImportFailure[];
  readonly failedCount: number;
}

/** Another system's keys by the digests of their tokens, a line each. Digests make it repeatable, line by line. */
export class ImportKeysCommand extends Command<ImportAnswer> {
  constructor(
    readonly lines: AsyncIterable<NdjsonLine>,
    readonly dryRun: boolean,
    readonly context: RequestContext,
  ) {
    super();
  }
}

const HEX = /^[0-9a-f]{64}$/i;
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/;

/** The 32 bytes of a digest in hex, base64 or base64url; undefined if it is none of them. */
export function digestFrom(text: string): Buffer | undefined {
  if (HEX.test(text)) return Buffer.from(text, 'hex');
  if (!BASE64.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  // The last digit bears two bits that belong to no byte; only one form of a digest is taken.
  const canonical = text.replace('=', '').replaceAll('+', '-').replaceAll('/', '_');
  return bytes.toString('base64url') === canonical ? bytes : undefined;
}

interface ReadLine {
  readonly line: number;
  readonly fields: ImportLine;
  readonly digest: Buffer;
}

type Outcome = 'imported' | 'unchanged' | ImportFailure;

const failure = (line: number, { code, detail }: Refusal): ImportFailure => ({ line, code, message: detail });

function readLine(one: NdjsonLine): ReadLine | ImportFailure {
  const { line } = one;
  if ('refusal' in one) return failure(line, one.refusal);
  try {
    const fields = readFields(ImportLine, one.value, 'body');
    const digest = digestFrom(fields.digest);
    if (digest === undefined)
      throw new Refusal('VALIDATION', 'body.digest must be a SHA-256 in hex, base64 or base64url.');
    return { line, fields, digest };
  } catch (error) {
    if (error instanceof Refusal) return failure(line, error);
    throw error;
  }
}

const refusals: Readonly<Record<Exclude<Verdict, 'permitted'>, Refusal>> = {
  'not-found': new Refusal('NOT_FOUND', 'There is no such project here.'),
  forbidden: new Refusal('FORBIDDEN', 'The caller may not import keys of this owner here.'),
  'key-cannot-manage-keys': new Refusal('KEY_CANNOT_MANAGE_KEYS', 'This key was made without canManageKeys.'),
};

@CommandHandler(ImportKeysCommand)
export class ImportKeysHandler implements ICommandHandler<ImportKeysCommand> {
  constructor(
    private readonly writer: KeyWriter,
    private readonly facts: KeyFacts,
    private readonly secrets: NewSecrets,
    private readonly access: AccessIndex,
    private readonly gatekeeper: Gatekeeper,
    private readonly targets: Targets,
    @Inject(INSTALLATION_KEY) private readonly installationKey: Buffer,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async execute({ lines, dryRun, context }: ImportKeysCommand): Promise<ImportAnswer> {
    const answer = { imported: 0, unchanged: 0, failed: [] as ImportFailure[], failedCount: 0 };
    const count = (outcome: Outcome): void => {
      if (outcome === 'imported') answer.imported += 1;
      else if (outcome === 'unchanged') answer.unchanged += 1;
      else {
        answer.failedCount += 1;
        if (answer.failed.length < FAILED_LINES_MAX) answer.failed.push(outcome);
      }
    };
    await forEachInParallel(lines, LINES_AT_ONCE, async (line) => {
      count(await this.importLine(line, dryRun, context));
    });
    answer.failed.sort((a, b) => a.line - b.line);
    return answer;
  }

  private async importLine(line: NdjsonLine, dryRun: boolean, context: RequestContext): Promise<Outcome> {
    const read = readLine(line);
    if (!('fields' in read)) return read;
    const { projectId, owner } = read.fields;
    const find = () => this.targets.ownedBy(projectId, owner);
    const [verdict = 'not-found'] = await this.gatekeeper.verdicts(context, 'keys:import', [find]);
    return verdict === 'permitted' ? this.importOne(read, dryRun, context) : failure(read.line, refusals[verdict]);
  }

  private async importOne(
    { line, fields, digest }: ReadLine,
    dryRun: boolean,
    context: RequestContext,
  ): Promise<Outcome> {
    const { projectId } = fields;
    const place = { projectId, tenantId: this.access.project(projectId)?.tenantId ?? null };
    const keyId = keyIdOfImport(this.installationKey, digest);
    try {
      const standing = await this.facts.ownerIn(place, fields.owner, context.principal);
      const policy = this.facts.policyOf(place);
      const wish = wishOf(fields);
      const servicesWithheld = await this.facts.servicesWithheld(place, standing.owner, wish.scopes);
      const written = await this.facts.counted(place, policy, standing.owner, keyId, async (counts) => {
        const command = {
          type: 'ImportKey' as const,
          ...place,
          keyId,
          wish,
          secret: this.secrets.keep(digest, 'client'),
          facts: {
            ...standing,
            scopesBeyondOwner: this.facts.scopesBeyond(standing.owner, wish.scopes),
            servicesWithheld,
            policy,
            counts,
            caller: boundsOf(context.principal),
          },
        };
        return dryRun
          ? this.writer.decided(keyId, command)
          : this.writer.write(keyId, place, command, { context: requestOf(context).context });
      });
      return written.events.length > 0 ? 'imported' : 'unchanged';
    } catch (error) {
      const refusal = refusalOf(error);
      // While nothing can be written every further line would fail alike; the file can be sent again as it is.
      if (errorCodes[refusal.code].status === 503) throw refusal;
      if (refusal.code === 'INTERNAL') this.logger.error({ err: error, line }, 'A line could not be imported.');
      return failure(line, refusal);
    }
  }
}
