import type { KeyPolicy } from '#libs/contracts';
import type { RequestContext } from '#libs/platform';
import type { PolicyNow } from './tenant.commands.js';

interface Versioned {
  readonly version: number;
  readonly position: string | null;
}

/** Tells version and position in the headers, as every answer about one thing does. */
export function answered<View extends Versioned>(context: RequestContext, view: View): View {
  context.answered({ revision: view.version, position: view.position });
  return view;
}

/** 201 where the command made the thing, 200 where it changed it or repeated it. */
export function answeredChange<View extends Versioned>(
  context: RequestContext,
  { view, created }: { readonly view: View; readonly created: boolean },
): View {
  context.answered({ revision: view.version, position: view.position, status: created ? 201 : 200 });
  return view;
}

/** A policy is answered as it is put: its rules and nothing beside them; version and position are headers. */
export function answeredPolicy(context: RequestContext, { standing, position }: PolicyNow): KeyPolicy {
  if (standing === null) {
    context.answered({ position });
    return {};
  }
  context.answered({ revision: standing.revision, position });
  return standing.policy;
}
