import { Metadata } from '@grpc/grpc-js';
import { currentTraceparent } from '#libs/eventsourcing';

/** What goes along with a call to another process of Steward: the trace that it belongs to, if one is made. */
export function callMetadata(): Metadata {
  const metadata = new Metadata();
  const traceparent = currentTraceparent();
  if (traceparent !== undefined) metadata.set('traceparent', traceparent);
  return metadata;
}
