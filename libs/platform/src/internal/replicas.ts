import { errorCodes } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import { unpackAnswer } from './internal-answer.js';
import { type InternalCalls, type InternalMethod, isServiceError } from './internal-calls.js';

/** One that did not answer is asked last for so long. */
const AVOIDED_MS = 2_000;

/** None of them answered in time. */
export class NoReplicaAnswered extends Error {
  constructor(service: string, options?: ErrorOptions) {
    super(`No replica of ${service} answered.`, options);
    this.name = 'NoReplicaAnswered';
  }
}

/** The replicas of one service, asked in turn. Only questions are put so: one that fails is put to the next replica. */
export class Replicas {
  private asked = 0;
  private readonly avoidedUntilMs = new Map<string, number>();

  /** `service` is whom the tokens are for, so that no replica has to know the address under which it is reached. */
  constructor(
    private readonly calls: Pick<InternalCalls, 'isReady' | 'send'>,
    private readonly service: string,
    private readonly addresses: readonly string[],
    private readonly now: () => number = () => performance.now(),
  ) {}

  /**
   * What the first answers that can; each gets its share of `timeoutMs`. Throws NoReplicaAnswered, what one refuses, and
   * what the last refused where each could not tell (503).
   */
  async ask(method: InternalMethod, question: unknown, timeoutMs: number): Promise<unknown> {
    const payload = Buffer.from(JSON.stringify(question), 'utf8');
    const endMs = performance.now() + timeoutMs;
    const order = this.order();
    let last: unknown;
    for (const [n, address] of order.entries()) {
      const nowMs = performance.now();
      const deadlineMs = nowMs + (endMs - nowMs) / (order.length - n);
      try {
        if (!(await this.calls.isReady(address, deadlineMs - nowMs))) throw new NoReplicaAnswered(this.service);
        const call = { address, method, to: this.service, principal: null, payload, deadlineMs };
        const outcome = unpackAnswer(await this.calls.send(call));
        this.avoidedUntilMs.delete(address);
        return outcome;
      } catch (error) {
        if (!isPassing(error)) throw error;
        this.avoid(address);
        last = error;
      }
    }
    if (last instanceof Refusal) throw last;
    throw new NoReplicaAnswered(this.service, { cause: last });
  }

  private order(): string[] {
    const { addresses } = this;
    const first = this.asked % Math.max(1, addresses.length);
    this.asked = first + 1;
    const turned = [...addresses.slice(first), ...addresses.slice(0, first)];
    const nowMs = this.now();
    const isAvoided = (address: string): boolean => (this.avoidedUntilMs.get(address) ?? 0) > nowMs;
    const order = [...turned.filter((one) => !isAvoided(one)), ...turned.filter(isAvoided)];
    // Whether one is back a single question finds out, for each that asks in vain waits.
    if (order[0] !== undefined && this.avoidedUntilMs.has(order[0])) this.avoid(order[0]);
    return order;
  }

  private avoid(address: string): void {
    this.avoidedUntilMs.set(address, this.now() + AVOIDED_MS);
  }
}

/** Another replica may know: this one is away, or cannot tell. */
const isPassing = (error: unknown): boolean =>
  error instanceof NoReplicaAnswered ||
  isServiceError(error) ||
  (error instanceof Refusal && errorCodes[error.code].status === 503);
