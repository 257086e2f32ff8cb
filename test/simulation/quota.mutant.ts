import { readFileSync } from 'node:fs';
import { compileFunction } from 'node:vm';
import { transformSync } from '@swc/core';
import * as eventsourcing from '#libs/eventsourcing';
import type { QuotaDomain } from './quota.simulation.js';

/** One fault planted in the source of the domain: `from` stands in the file exactly once. */
export interface PlantedFault {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const domainFolder = new URL('../../services/quotas/src/domain/', import.meta.url);
const compiled = new Map<string, string>();

function sourceOf(file: string, { file: faulty, from, to }: PlantedFault): string {
  const source = readFileSync(new URL(file, domainFolder), 'utf8');
  if (file !== faulty) return source;
  if (source.split(from).length !== 2) throw new Error(`${file} does not have this exactly once: ${from}`);
  return source.replace(from, () => to);
}

function compile(source: string): string {
  let code = compiled.get(source);
  if (code === undefined) {
    code = transformSync(source, {
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'commonjs' },
    }).code;
    compiled.set(source, code);
  }
  return code;
}

type Exports = Record<string, unknown>;

/** The domain with the fault in it, from its source, beside the one that everybody else uses. */
export function faultyDomain(fault: PlantedFault): QuotaDomain {
  const modules = new Map<string, Exports>();
  const load = (file: string): Exports => {
    const known = modules.get(file);
    if (known !== undefined) return known;
    const exported: Exports = {};
    modules.set(file, exported);
    const require = (name: string): unknown => {
      if (name === '#libs/eventsourcing') return eventsourcing;
      if (name.startsWith('./')) return load(name.slice(2).replace(/\.js$/, '.ts'));
      throw new Error(`The domain imports ${name}, which this loader does not know.`);
    };
    const run = compileFunction(compile(sourceOf(file, fault)), ['exports', 'require']) as (
      ...given: unknown[]
    ) => void;
    run(exported, require);
    return exported;
  };
  return {
    ...load('project-quota.ts'),
    ...load('decide.ts'),
    ...load('evolve.ts'),
    ...load('limits.ts'),
    ...load('snapshot.ts'),
    ...load('catalogue.ts'),
  } as unknown as QuotaDomain;
}
