import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { tokenOf } from './credentials.js';
import { Gatekeeper } from './gatekeeper.js';
import { RequestContexts } from '../requests/request-contexts.js';
import { requirementOf } from './requires.js';
import type { PathParams } from './target.js';

/** Registered as APP_GUARD; the decision itself is the Gatekeeper's, which gRPC asks too. */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly gatekeeper: Gatekeeper,
    private readonly contexts: RequestContexts,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const requires = requirementOf(context.getHandler(), context.getClass());
    if (requires === 'open') return true;
    // The boot check keeps this from happening; a route that slipped by is closed, not open.
    if (requires === undefined) return false;
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const one = (header: string | string[] | undefined): string | undefined => [header].flat().join(', ') || undefined;
    request.admitted = await this.gatekeeper.admit({
      token: tokenOf((name) => one(request.headers[name])),
      ip: request.ip,
      requires,
      params: request.params as PathParams,
      minPosition: () => {
        const { minPosition } = request.query as { minPosition?: string | string[] };
        return this.contexts.position({
          'query.minPosition': one(minPosition),
          'header.Steward-Position': one(request.headers['steward-position']),
        });
      },
    });
    return true;
  }
}
