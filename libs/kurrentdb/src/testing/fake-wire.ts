import codes from '@eventstore/db-client/generated/code_pb.js';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { StreamIdentifier, UUID } from '@eventstore/db-client/generated/shared_pb.js';
import statuses from '@eventstore/db-client/generated/status_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import type {
  AppendReq,
  AppendResp,
  BatchAppendReq,
  BatchAppendResp,
  ReadResp,
} from '@eventstore/db-client/generated/streams_pb.js';
import anyModule from 'google-protobuf/google/protobuf/any_pb.js';
import emptyModule from 'google-protobuf/google/protobuf/empty_pb.js';
import type { FakeAppendOutcome, FakeRecord, ProposedRecord } from './fake-log.js';

/** Between what the fake keeps and the messages of the client package's own protocol. */

export const streamNameIn = (identifier: StreamIdentifier | undefined): string =>
  Buffer.from(identifier?.getStreamName_asU8() ?? []).toString('utf8');

export function identifierOf(stream: string): StreamIdentifier {
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stream).toString('base64'));
  return identifier;
}

function uuidOf(text: string): UUID {
  const uuid = new shared.UUID();
  uuid.setString(text);
  return uuid;
}

export function proposedIn(message: AppendReq.ProposedMessage | BatchAppendReq.ProposedMessage): ProposedRecord {
  const metadata = message.getMetadataMap();
  return {
    id: message.getId()?.getString() ?? '',
    type: metadata.get('type') ?? '',
    contentType: metadata.get('content-type') ?? '',
    data: message.getData_asU8(),
    metadata: message.getCustomMetadata_asU8(),
  };
}

/** -1 = no stream. The fake knows exact revisions and nothing else, as Steward does. */
export function expectedIn(options: AppendReq.Options | BatchAppendReq.Options | undefined): number {
  if (options === undefined || options.hasAny() || options.hasStreamExists())
    throw new Error('Steward appends at exact revisions only.');
  if (options.hasNoStream()) return -1;
  return Number('getRevision' in options ? options.getRevision() : options.getStreamPosition());
}

export function eventMessage(record: FakeRecord): ReadResp {
  const recorded = new streams.ReadResp.ReadEvent.RecordedEvent();
  recorded.setId(uuidOf(record.id));
  recorded.setStreamIdentifier(identifierOf(record.stream));
  recorded.setStreamRevision(String(record.revision));
  recorded.setCommitPosition(String(record.position));
  recorded.setPreparePosition(String(record.position));
  recorded.getMetadataMap().set('type', record.type);
  recorded.getMetadataMap().set('content-type', record.contentType);
  recorded.getMetadataMap().set('created', String(record.createdTicks));
  recorded.setData(record.data);
  recorded.setCustomMetadata(record.metadata);
  const read = new streams.ReadResp.ReadEvent();
  read.setEvent(recorded);
  read.setCommitPosition(String(record.position));
  const message = new streams.ReadResp();
  message.setEvent(read);
  return message;
}

export function streamNotFoundMessage(stream: string): ReadResp {
  const notFound = new streams.ReadResp.StreamNotFound();
  notFound.setStreamIdentifier(identifierOf(stream));
  const message = new streams.ReadResp();
  message.setStreamNotFound(notFound);
  return message;
}

export function confirmationMessage(id: string): ReadResp {
  const confirmation = new streams.ReadResp.SubscriptionConfirmation();
  confirmation.setSubscriptionId(id);
  const message = new streams.ReadResp();
  message.setConfirmation(confirmation);
  return message;
}

type Refused = Exclude<FakeAppendOutcome, { kind: 'done' }>;

/** The answer of the unary append; a size that is refused is an error of the call and no answer. */
export function appendMessage(
  outcome: Exclude<FakeAppendOutcome, { kind: 'too-large' }>,
  expected: number,
): AppendResp {
  const message = new streams.AppendResp();
  if (outcome.kind === 'done') {
    const position = new streams.AppendResp.Position();
    position.setCommitPosition(String(outcome.position));
    position.setPreparePosition(String(outcome.position));
    const success = new streams.AppendResp.Success();
    success.setCurrentRevision(String(outcome.revision));
    success.setPosition(position);
    message.setSuccess(success);
    return message;
  }
  const wrong = new streams.AppendResp.WrongExpectedVersion();
  if (outcome.currentRevision < 0) wrong.setCurrentNoStream(new shared.Empty());
  else wrong.setCurrentRevision(String(outcome.currentRevision));
  if (expected < 0) wrong.setExpectedNoStream(new shared.Empty());
  else wrong.setExpectedRevision(String(expected));
  message.setWrongExpectedVersion(wrong);
  return message;
}

export function batchAppendMessage(
  correlationId: string,
  stream: string,
  outcome: FakeAppendOutcome,
  expected: number,
): BatchAppendResp {
  const message = new streams.BatchAppendResp();
  message.setCorrelationId(uuidOf(correlationId));
  message.setStreamIdentifier(identifierOf(stream));
  if (outcome.kind === 'done') {
    const position = new shared.AllStreamPosition();
    position.setCommitPosition(String(outcome.position));
    position.setPreparePosition(String(outcome.position));
    const success = new streams.BatchAppendResp.Success();
    success.setCurrentRevision(String(outcome.revision));
    success.setPosition(position);
    message.setSuccess(success);
    return message;
  }
  const status = new statuses.Status();
  status.setCode(outcome.kind === 'wrong-version' ? codes.Code.FAILED_PRECONDITION : codes.Code.INVALID_ARGUMENT);
  status.setMessage(outcome.kind);
  status.setDetails(detailsOf(outcome, expected));
  message.setError(status);
  return message;
}

function detailsOf(outcome: Refused, expected: number): InstanceType<typeof anyModule.Any> {
  const details = new anyModule.Any();
  if (outcome.kind === 'too-large') {
    const tooLarge = new shared.MaximumAppendSizeExceeded();
    tooLarge.setMaxappendsize(outcome.bytesMax);
    details.pack(tooLarge.serializeBinary(), 'event_store.client.MaximumAppendSizeExceeded');
    return details;
  }
  const wrong = new shared.WrongExpectedVersion();
  if (outcome.currentRevision < 0) wrong.setCurrentNoStream(new emptyModule.Empty());
  else wrong.setCurrentStreamRevision(String(outcome.currentRevision));
  if (expected < 0) wrong.setExpectedNoStream(new emptyModule.Empty());
  else wrong.setExpectedStreamPosition(String(expected));
  details.pack(wrong.serializeBinary(), 'event_store.client.WrongExpectedVersion');
  return details;
}
