import streams from '@eventstore/db-client/generated/streams_pb.js';
import type {
  AppendReq,
  AppendResp,
  BatchAppendReq,
  BatchAppendResp,
  ReadReq,
  ReadResp,
} from '@eventstore/db-client/generated/streams_pb.js';
import {
  Metadata,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerWritableStream,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { FakeLog, FakeRecord, ProposedRecord } from './fake-log.js';
import {
  appendMessage,
  batchAppendMessage,
  confirmationMessage,
  eventMessage,
  expectedIn,
  proposedIn,
  streamNameIn,
  streamNotFoundMessage,
} from './fake-wire.js';

/** What the server does wrong from now on. */
export interface Faults {
  /**
   * `stall`: neither done nor answered; `swallow`: done and not answered; `end`: the stream of appends is ended as if all
   * were well, with nothing done.
   */
  appends: 'answer' | 'stall' | 'swallow' | 'end';
  reads: 'answer' | 'stall';
  /** `stall`: what is opened now is confirmed, and nothing ever comes. */
  subscriptions: 'live' | 'stall';
}

/** Why a call is refused before anything is done; undefined lets it pass. */
export type Refuse = (metadata: Metadata) => { code: number; details: string; metadata: Metadata } | undefined;

interface PendingBatch {
  readonly options: BatchAppendReq.Options | undefined;
  readonly proposed: ProposedRecord[];
}

type ReadCall = ServerWritableStream<ReadReq, ReadResp>;

/** The service `event_store.client.streams.Streams`, as far as Steward asks it. */
export class FakeStreams {
  readonly faults: Faults = { appends: 'answer', reads: 'answer', subscriptions: 'live' };
  private open = 0;

  constructor(
    private readonly log: FakeLog,
    private readonly refuse: Refuse,
  ) {}

  /** How many subscriptions stand open. */
  get subscriptions(): number {
    return this.open;
  }

  get implementation(): UntypedServiceImplementation {
    return {
      append: (call: ServerReadableStream<AppendReq, AppendResp>, callback: sendUnaryData<AppendResp>) => {
        this.append(call, callback);
      },
      batchAppend: (call: ServerDuplexStream<BatchAppendReq, BatchAppendResp>) => {
        this.batchAppend(call);
      },
      read: (call: ReadCall) => {
        this.read(call).catch((error: unknown) => call.destroy(error instanceof Error ? error : undefined));
      },
    };
  }

  private append(call: ServerReadableStream<AppendReq, AppendResp>, callback: sendUnaryData<AppendResp>): void {
    const refusal = this.refuse(call.metadata);
    if (refusal !== undefined) {
      callback(refusal);
      return;
    }
    let options: AppendReq.Options | undefined;
    const proposed: ProposedRecord[] = [];
    call.on('data', (message: AppendReq) => {
      if (message.hasOptions()) options = message.getOptions();
      const one = message.getProposedMessage();
      if (one !== undefined) proposed.push(proposedIn(one));
    });
    call.on('end', () => {
      const { appends } = this.faults;
      if (appends === 'stall' || appends === 'end') return;
      const expected = expectedIn(options);
      const outcome = this.log.append(streamNameIn(options?.getStreamIdentifier()), expected, proposed);
      if (appends === 'swallow') return;
      if (outcome.kind === 'too-large') {
        const metadata = new Metadata();
        metadata.set('exception', 'maximum-append-size-exceeded');
        metadata.set('maximum-append-size', String(outcome.bytesMax));
        callback({ code: status.INVALID_ARGUMENT, details: 'Maximum Append Size Exceeded', metadata });
      } else callback(null, appendMessage(outcome, expected));
    });
  }

  private batchAppend(call: ServerDuplexStream<BatchAppendReq, BatchAppendResp>): void {
    const refusal = this.refuse(call.metadata);
    if (refusal !== undefined) {
      call.emit('error', refusal);
      return;
    }
    const pending = new Map<string, PendingBatch>();
    call.on('error', () => undefined);
    call.on('end', () => call.end());
    call.on('data', (message: BatchAppendReq) => {
      const correlationId = message.getCorrelationId()?.getString() ?? '';
      const batch = pending.get(correlationId) ?? { options: message.getOptions(), proposed: [] };
      batch.proposed.push(...message.getProposedMessagesList().map(proposedIn));
      pending.set(correlationId, batch);
      if (!message.getIsFinal()) return;
      pending.delete(correlationId);
      const { appends } = this.faults;
      if (appends === 'end') call.end();
      if (appends === 'end' || appends === 'stall') return;
      const stream = streamNameIn(batch.options?.getStreamIdentifier());
      const expected = expectedIn(batch.options);
      const outcome = this.log.append(stream, expected, batch.proposed);
      if (appends === 'answer') call.write(batchAppendMessage(correlationId, stream, outcome, expected));
    });
  }

  private async read(call: ReadCall): Promise<void> {
    const refusal = this.refuse(call.metadata);
    if (refusal !== undefined) {
      call.emit('error', refusal);
      return;
    }
    if (this.faults.reads === 'stall') return;
    const options = call.request.getOptions();
    if (options === undefined || options.hasFilter()) throw new Error('Steward reads without a filter.');
    if (options.hasSubscription()) {
      await this.subscribe(call, senderOf(call));
      return;
    }
    const send = senderOf(call);
    const count = Number(options.getCount());
    const backwards = options.getReadDirection() === streams.ReadReq.Options.ReadDirection.BACKWARDS;
    const source = this.sourceOf(options, backwards);
    if (source === undefined)
      await send(streamNotFoundMessage(streamNameIn(options.getStream()?.getStreamIdentifier())));
    else {
      const { records, from } = source;
      const found = backwards ? records.slice(0, from + 1).reverse() : records.slice(from);
      for (const record of found.slice(0, count)) await send(eventMessage(record));
    }
    call.end();
  }

  private sourceOf(
    options: ReadReq.Options,
    backwards: boolean,
  ): { records: readonly FakeRecord[]; from: number } | undefined {
    const byStream = options.getStream();
    if (byStream !== undefined) {
      const records = this.log.stream(streamNameIn(byStream.getStreamIdentifier()));
      if (records.length === 0) return undefined;
      if (byStream.hasStart()) return { records, from: 0 };
      return { records, from: byStream.hasEnd() ? endOf(records, backwards) : Number(byStream.getRevision()) };
    }
    const all = options.getAll();
    const { records } = this.log;
    if (all?.hasStart() === true) return { records, from: 0 };
    const position = all?.getPosition()?.getCommitPosition();
    return { records, from: position === undefined ? endOf(records, backwards) : this.log.indexAt(BigInt(position)) };
  }

  /** Live from the end of the log on, which is all that Steward asks. */
  private async subscribe(call: ReadCall, send: Send): Promise<void> {
    const isSilent = this.faults.subscriptions === 'stall';
    let next = this.log.records.length;
    let isOpen = true;
    let wake: (() => void) | undefined;
    const unwatch = this.log.watch(() => wake?.());
    const close = (): void => {
      if (!isOpen) return;
      isOpen = false;
      this.open -= 1;
      unwatch();
      wake?.();
    };
    this.open += 1;
    call.on('cancelled', close);
    call.on('close', close);
    const stillOpen = (): boolean => isOpen;
    await send(confirmationMessage(`fake-${this.open}`));
    while (stillOpen()) {
      const record = isSilent ? undefined : this.log.records[next];
      if (record !== undefined) {
        next += 1;
        await send(eventMessage(record));
      } else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  }
}

const endOf = (records: readonly unknown[], backwards: boolean): number => records.length - (backwards ? 1 : 0);

type Send = (message: ReadResp) => Promise<void>;

/** Writes no faster than the caller takes it. */
function senderOf(call: ReadCall): Send {
  let goOn: (() => void) | undefined;
  for (const event of ['drain', 'close', 'cancelled']) call.on(event, () => goOn?.());
  return async (message) => {
    if (call.cancelled || call.write(message)) return;
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
  };
}
