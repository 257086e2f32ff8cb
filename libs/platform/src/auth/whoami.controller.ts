import { Controller, Get } from '@nestjs/common';
import { Context } from '../http/context.decorator.js';
import type { RequestContext } from '../requests/request-context.js';
import { Authenticated } from './requires.js';

/** Who the caller is to Steward, and with which rights now. */
@Controller('v1/whoami')
export class WhoamiController {
  @Get()
  @Authenticated()
  whoami(@Context() { principal }: RequestContext): object {
    const { type, id, via, tenantId, grants, key } = principal;
    return {
      type,
      id,
      via,
      tenantId,
      grants,
      key: key && {
        id: key.keyId,
        scopes: key.scopes,
        canManageKeys: key.canManageKeys,
        expiresAt: key.expiresAt,
      },
    };
  }
}
