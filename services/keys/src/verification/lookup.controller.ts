import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import { Context, Gatekeeper, type RequestContext, Requires, Targets, TextField } from '#libs/platform';
import { TOKEN_BYTES_MAX } from '../key-secret.js';
import { GetKeyQuery } from '../key.queries.js';
import type { KeyView } from '../keys.views.js';
import { KeyVerifier } from './key-verifier.js';

export class LookupBody {
  @TextField({
    max: TOKEN_BYTES_MAX,
    check: (text) =>
      Buffer.byteLength(text) > TOKEN_BYTES_MAX ? `must have at most ${TOKEN_BYTES_MAX} bytes` : undefined,
    description: 'The whole token.',
  })
  token!: string;
}

/** Whose is a token that was found? Answers the key without deciding on it, expired and revoked ones too. */
@ApiTags('verification')
@Controller('v1/keys')
export class LookupController {
  constructor(
    private readonly verifier: KeyVerifier,
    private readonly gatekeeper: Gatekeeper,
    private readonly targets: Targets,
    private readonly queries: QueryBus,
  ) {}

  @Post('lookup')
  @HttpCode(200)
  @Requires('keys:lookup', 'list')
  async lookup(@Body() { token }: LookupBody, @Context() context: RequestContext): Promise<KeyView> {
    const keyId = await this.verifier.find(token);
    await this.gatekeeper.authorize(context, 'keys:lookup', () => this.targets.key(keyId));
    const { key, revision, position } = await this.queries.execute(new GetKeyQuery(keyId));
    context.answered({ revision, position });
    return key;
  }
}
