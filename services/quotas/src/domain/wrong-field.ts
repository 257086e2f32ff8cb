import { Refusal } from '#libs/eventsourcing';

/** A field of the request's body that no rule can take, whatever the state. */
export function wrongField(field: string, message: string): Refusal {
  return new Refusal('VALIDATION', `body.${field} ${message}.`, { errors: [{ location: `body.${field}`, message }] });
}
