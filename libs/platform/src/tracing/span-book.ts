import type { SpanContext } from '@opentelemetry/api';

/** So many commands are remembered, the newest: projections and reactors follow within milliseconds. */
export const REMEMBERED_MAX = 10_000;

/**
 * Which span a command ran under. The envelope has no room for a trace (docs/events.md), so what follows an event finds
 * its trace here, by the event's command: in the process that ran it, and not in others.
 */
export class SpanBook {
  private readonly spans = new Map<string, SpanContext>();

  remember(commandId: string, span: SpanContext): void {
    this.spans.delete(commandId);
    this.spans.set(commandId, span);
    const [oldest] = this.spans.keys();
    if (this.spans.size > REMEMBERED_MAX && oldest !== undefined) this.spans.delete(oldest);
  }

  /** The command's own span; else that of the first command of its chain. */
  find(commandId: string | undefined, correlationId: string | undefined): SpanContext | undefined {
    return this.spans.get(commandId ?? '') ?? this.spans.get(correlationId ?? '');
  }
}
