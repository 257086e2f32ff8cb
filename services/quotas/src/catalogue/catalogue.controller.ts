import { Body, Controller, Get, Param, Put } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Context, type RequestContext, Requires } from '#libs/platform';
import { CatalogueIndex } from './catalogue-index.js';
import { SetCatalogueResourceCommand } from '../quota.commands.js';
import { catalogueChangeOf } from '../quota-wish.js';
import { CatalogueResourcePath, SetCatalogueResourceBody } from '../quotas.dto.js';
import { catalogueResourceView, CatalogueResourceView, catalogueView, CatalogueView } from './catalogue.views.js';

@ApiTags('catalogue')
@Controller('/v1/catalogue')
export class CatalogueController {
  constructor(
    private readonly commands: CommandBus,
    private readonly catalogue: CatalogueIndex,
  ) {}

  @Get()
  @ApiOperation({ summary: 'Services, their resources, units and default limits' })
  @Requires('catalogue:read', 'list')
  @ApiOkResponse({ type: CatalogueView })
  get(@Context() context: RequestContext): CatalogueView {
    const view = catalogueView(this.catalogue.now);
    context.answered({ revision: view.revision });
    return view;
  }

  @Put('services/:service/resources/:resource')
  @ApiOperation({ summary: 'Adds a resource or changes its default limits; its unit never changes' })
  @Requires('catalogue:write', 'platform')
  @ApiOkResponse({ type: CatalogueResourceView })
  async set(
    @Param() { service, resource }: CatalogueResourcePath,
    @Body() body: SetCatalogueResourceBody,
    @Context() context: RequestContext,
  ): Promise<CatalogueResourceView> {
    const change = catalogueChangeOf({ service, resource }, body, context.ifMatch);
    const set = await this.commands.execute(new SetCatalogueResourceCommand(change, context));
    context.answered({ revision: set.resource.revision, position: set.position });
    return catalogueResourceView(set.resource);
  }
}
