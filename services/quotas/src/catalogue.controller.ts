import { Body, Controller, Get, Param, Put } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Context, type RequestContext, Requires } from '#libs/platform';
import { CatalogueIndex } from './catalogue-index.js';
import { resourcesOf } from './domain/catalogue.js';
import { SetCatalogueResourceCommand } from './quota.commands.js';
import { CatalogueResourcePath, SetCatalogueResourceBody } from './quotas.dto.js';
import { catalogueResourceView, CatalogueResourceView, CatalogueView } from './quotas.views.js';

@ApiTags('catalogue')
@Controller('/v1/catalogue')
export class CatalogueController {
  constructor(
    private readonly commands: CommandBus,
    private readonly catalogue: CatalogueIndex,
  ) {}

  @Get()
  @Requires('catalogue:read', 'list')
  @ApiOkResponse({ type: CatalogueView })
  get(): CatalogueView {
    const { now } = this.catalogue;
    const all = resourcesOf(now);
    const services = [...new Set(all.map(({ service }) => service))].map((service) => ({
      service,
      resources: all.filter((one) => one.service === service).map(catalogueResourceView),
    }));
    return { revision: now.revision, services };
  }

  @Put('services/:service/resources/:resource')
  @Requires('catalogue:write', 'platform')
  @ApiOkResponse({ type: CatalogueResourceView })
  async set(
    @Param() { service, resource }: CatalogueResourcePath,
    @Body() { unit, defaultProjectLimit = 'unlimited', defaultMemberLimit = 'unlimited' }: SetCatalogueResourceBody,
    @Context() context: RequestContext,
  ): Promise<CatalogueResourceView> {
    const { ifMatch } = context;
    const defaults = { defaultProjectLimit, defaultMemberLimit };
    const change = { type: 'SetCatalogueResource', service, resource, unit, ...defaults, ifMatch } as const;
    const set = await this.commands.execute(new SetCatalogueResourceCommand(change, context));
    context.answered({ revision: set.resource.revision, position: set.position });
    return catalogueResourceView(set.resource);
  }
}
