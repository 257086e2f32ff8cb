import 'reflect-metadata';
import { RequestMethod, type Type } from '@nestjs/common';
import { MODULE_METADATA, METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { MetadataScanner } from '@nestjs/core';
import { AuditModule } from '../../services/audit/src/audit.module.js';
import { KeysModule } from '../../services/keys/src/keys.module.js';
import { verificationPaths } from '../../services/keys/src/verification/verification.openapi.js';
import { QuotasModule } from '../../services/quotas/src/quotas.module.js';
import { TenancyModule } from '../../services/tenancy/src/tenancy.module.js';

const modules: Record<string, Type> = {
  keys: KeysModule,
  quotas: QuotasModule,
  tenancy: TenancyModule,
  audit: AuditModule,
};

function controllersOf(module: Type, seen = new Set<Type>()): Type[] {
  if (seen.has(module)) return [];
  seen.add(module);
  const imports = (Reflect.getMetadata(MODULE_METADATA.IMPORTS, module) ?? []) as (Type | { module: Type })[];
  return [
    ...((Reflect.getMetadata(MODULE_METADATA.CONTROLLERS, module) ?? []) as Type[]),
    ...imports.flatMap((one) => controllersOf('module' in one ? one.module : one, seen)),
  ];
}

function routesOf(controller: Type): string[] {
  const prototype = controller.prototype as Record<string, object>;
  return new MetadataScanner().getAllMethodNames(prototype).flatMap((name) => {
    const handler = prototype[name] ?? {};
    const method = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined;
    if (method === undefined) return [];
    const parts = [Reflect.getMetadata(PATH_METADATA, controller), Reflect.getMetadata(PATH_METADATA, handler)];
    const path = `/${parts.join('/')}`.replaceAll(/\/{2,}/g, '/').replace(/(.)\/$/, '$1');
    return [`${RequestMethod[method]} ${path.replaceAll(/:(\w+)/g, '{$1}')}`];
  });
}

const rawRoutes = Object.entries(verificationPaths).flatMap(([path, item]) =>
  Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
);

/** Which service has a route (`GET /v1/keys/{keyId}`), as its controllers say it. */
export const serviceByRoute: ReadonlyMap<string, string> = new Map([
  ...Object.entries(modules).flatMap(([service, module]) =>
    controllersOf(module)
      .flatMap(routesOf)
      .map((route) => [route, service] as const),
  ),
  ...rawRoutes.map((route) => [route, 'keys'] as const),
]);
