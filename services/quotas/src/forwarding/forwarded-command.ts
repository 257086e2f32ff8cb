import type { CommandContext } from '#libs/eventsourcing';
import type { QuotaCommand } from '../domain/commands.js';

/** Below what a gRPC message may hold, with room for the token beside it. */
const PAYLOAD_BYTES_MAX = 200 * 1024;

export interface ForwardedCommand {
  readonly projectId: string;
  /** Without what the owner finds out itself: how the member stands. */
  readonly command: QuotaCommand;
  readonly context: CommandContext;
}

/** A report is large and comes with a function; the process that took it writes it itself. */
const isPortable = ({ type }: QuotaCommand): boolean => type !== 'Reconcile';

/** Undefined for what is not handed on. */
export function packCommand(forwarded: ForwardedCommand): Buffer | undefined {
  if (!isPortable(forwarded.command)) return undefined;
  const payload = Buffer.from(
    JSON.stringify({ ...forwarded, command: { ...forwarded.command, standing: undefined } }),
    'utf8',
  );
  return payload.length > PAYLOAD_BYTES_MAX ? undefined : payload;
}

export const unpackCommand = (payload: Uint8Array): ForwardedCommand =>
  JSON.parse(Buffer.from(payload).toString('utf8')) as ForwardedCommand;
