import { type INestApplicationContext, SetMetadata, type Type } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { MetadataScanner, ModulesContainer } from '@nestjs/core';
import type { Action } from './policy.js';
import { type TargetKind, targetParams } from './target.js';

const REQUIREMENT = 'steward:requirement';

/** What a caller must have to be let in. */
export interface Requirement {
  /** null = any caller who is known, whatever the rights. */
  readonly action: Action | null;
  readonly target: TargetKind;
  /**
   * For verify and verify-batch alone: they answer every decision themselves, so a stale index or an unreachable head
   * does not close the door to a caller whom memory knows.
   */
  readonly decidesFromMemory?: boolean;
}

/** The policy of a route: the action, and how its path names the target (`TargetKind`). */
export const Requires = (
  action: Action,
  target: TargetKind,
  options: Pick<Requirement, 'decidesFromMemory'> = {},
): MethodDecorator & ClassDecorator => SetMetadata(REQUIREMENT, { action, target, ...options } satisfies Requirement);

/** Any caller who is known, even with a key that may do nothing else. */
export const Authenticated = (): MethodDecorator & ClassDecorator =>
  SetMetadata(REQUIREMENT, { action: null, target: 'platform' } satisfies Requirement);

/** A route for everybody. */
export const Open = (): MethodDecorator & ClassDecorator => SetMetadata(REQUIREMENT, 'open');

/** Of the handler, else of its class; undefined if neither says. */
export function requirementOf(handler: object, controller: object): Requirement | 'open' | undefined {
  return (Reflect.getMetadata(REQUIREMENT, handler) ?? Reflect.getMetadata(REQUIREMENT, controller)) as
    Requirement | 'open' | undefined;
}

const pathsOf = (target: object): string[] => {
  const paths = Reflect.getMetadata(PATH_METADATA, target) as string | string[] | undefined;
  return paths === undefined ? [''] : [paths].flat();
};

/**
 * Refuses to boot an application with a route that has no policy, or whose path lacks what its policy needs to name the
 * target. Call it before listening.
 */
export function assertEveryRouteHasPolicy(app: INestApplicationContext): void {
  const scanner = new MetadataScanner();
  const faults: string[] = [];
  for (const module of app.get(ModulesContainer).values()) {
    for (const { metatype } of module.controllers.values()) {
      const controller = metatype as Type<object> | null;
      if (controller === null) continue;
      const prototype = controller.prototype as Record<string, object>;
      for (const name of scanner.getAllMethodNames(prototype)) {
        const handler = prototype[name];
        if (handler === undefined || !Reflect.hasMetadata(METHOD_METADATA, handler)) continue;
        faults.push(...faultsOf(`${controller.name}.${name}`, handler, controller));
      }
    }
  }
  if (faults.length > 0) throw new Error(`Routes without a sound policy: ${faults.join('; ')}.`);
}

function faultsOf(route: string, handler: object, controller: object): string[] {
  const requirement = requirementOf(handler, controller);
  if (requirement === undefined) return [`${route} has neither @Requires, @Authenticated nor @Open`];
  if (requirement === 'open') return [];
  const paths = pathsOf(controller).flatMap((prefix) => pathsOf(handler).map((path) => `${prefix}/${path}/`));
  return targetParams[requirement.target]
    .filter((param) => paths.some((path) => !path.includes(`:${param}/`)))
    .map((param) => `${route} names a ${requirement.target} but its path has no :${param}`);
}
