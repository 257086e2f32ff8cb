import { Refusal } from '#libs/eventsourcing';

type Answer = { readonly outcome: unknown } | { readonly refusal: Pick<Refusal, 'code' | 'detail' | 'extra'> };

const bytesOf = (answer: Answer): Buffer => Buffer.from(JSON.stringify(answer), 'utf8');

export const packOutcome = (outcome: unknown): Buffer => bytesOf({ outcome });

export const packRefusal = ({ code, detail, extra }: Refusal): Buffer => bytesOf({ refusal: { code, detail, extra } });

/** What the other process answered; throws what it refused. */
export function unpackAnswer(bytes: Uint8Array): unknown {
  const answer = JSON.parse(Buffer.from(bytes).toString('utf8')) as Answer;
  if ('outcome' in answer) return answer.outcome;
  const { code, detail, extra } = answer.refusal;
  throw new Refusal(code, detail, extra);
}
