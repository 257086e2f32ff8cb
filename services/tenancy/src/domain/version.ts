import { Refusal } from '#libs/eventsourcing';

/**
 * A thing's version is the revision of the event that last changed it, not of its stream: the members of a busy project
 * would otherwise spoil each other's ETags. What is not there yet has version 0.
 */
export function holdVersion(ifMatch: number | undefined, version: number): void {
  if (ifMatch !== undefined && ifMatch !== version)
    throw new Refusal('VERSION_CONFLICT', `The version is ${version}, not ${ifMatch}.`);
}

/** What the state machine cannot reach by any accepted history: a bug, never a caller's fault. */
export function impossible(what: string): never {
  throw new Error(`The stream holds an impossible history: ${what}.`);
}
