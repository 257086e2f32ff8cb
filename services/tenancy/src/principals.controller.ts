import { Body, Controller, Delete, Get, HttpCode, Param, Put, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Context, type Page, type RequestContext, Requires } from '#libs/platform';
import { answered, answeredChange } from './answered.js';
import { PutPrincipalCommand, RemovePrincipalCommand } from './principal.commands.js';
import { GetPrincipalQuery } from './standing.queries.js';
import { PrincipalPath, PrincipalsQuery, PutPrincipalBody } from './tenancy.dto.js';
import { PrincipalList, PrincipalView } from './tenancy.views.js';
import { ListPrincipalsQuery } from './tenancy.queries.js';

@ApiTags('principals')
@Controller('/v1/principals')
export class PrincipalsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Get()
  @Requires('principals:read', 'list')
  @ApiOkResponse({ type: PrincipalList })
  list(@Query() query: PrincipalsQuery, @Context() context: RequestContext): Promise<Page<PrincipalView>> {
    return this.queries.execute(new ListPrincipalsQuery(query, context));
  }

  @Get(':principalId')
  @Requires('principals:read', 'principal')
  @ApiOkResponse({ type: PrincipalView })
  async get(@Param() { principalId }: PrincipalPath, @Context() context: RequestContext): Promise<PrincipalView> {
    return answered(context, await this.queries.execute(new GetPrincipalQuery(principalId, context)));
  }

  @Put(':principalId')
  @Requires('principals:write', 'platform')
  @ApiOkResponse({ type: PrincipalView })
  @ApiCreatedResponse({ type: PrincipalView })
  async put(
    @Param() { principalId }: PrincipalPath,
    @Body() { type, role, tenantId = null }: PutPrincipalBody,
    @Context() context: RequestContext,
  ): Promise<PrincipalView> {
    const command = new PutPrincipalCommand(principalId, { type, role, tenantId }, context);
    return answeredChange(context, await this.commands.execute(command));
  }

  @Delete(':principalId')
  @HttpCode(204)
  @Requires('principals:write', 'principal')
  @ApiNoContentResponse()
  async remove(@Param() { principalId }: PrincipalPath, @Context() context: RequestContext): Promise<void> {
    const { view } = await this.commands.execute(new RemovePrincipalCommand(principalId, context));
    answered(context, view);
  }
}
