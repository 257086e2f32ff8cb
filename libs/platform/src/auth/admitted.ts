import type { Access } from './access.js';
import type { Principal } from './principal.js';

/** What the guard found out about a request that it let through. */
export interface Admitted {
  readonly principal: Principal;
  readonly access: Access;
  /** What the policy was asked about: the ids of the thing and where it stands. The guard's own type. */
  readonly target?: unknown;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the guard; absent on open routes. */
    admitted?: Admitted | undefined;
  }
}
