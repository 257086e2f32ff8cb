import { readFileSync } from 'node:fs';

export const frontConfig = readFileSync(new URL('../../deploy/front.conf', import.meta.url), 'utf8');

/** The lines of a `map $uri $name`, in their order. */
const linesOf = (name: string): string[] =>
  (new RegExp(`map \\$uri \\$${name} \\{\\n([^}]*)\\}`).exec(frontConfig)?.[1] ?? '')
    .split('\n')
    .map((line) => line.trim().replace(/;$/, ''))
    .filter((line) => line !== '');

const rulesOf = (name: string): { pattern: string; value: string }[] =>
  linesOf(name).map((line) => {
    const [pattern = '', value = ''] = line.split(/\s+/);
    return { pattern, value: value === "''" ? '' : value };
  });

/** As nginx decides it: words before patterns, patterns in their order; '' where nothing fits. */
function mapped(name: string, path: string): string {
  const rules = rulesOf(name);
  const exact = rules.find(({ pattern }) => pattern === path);
  const matching = rules.find(({ pattern }) => pattern.startsWith('~') && new RegExp(pattern.slice(1)).test(path));
  const otherwise = rules.find(({ pattern }) => pattern === 'default');
  return (exact ?? matching ?? otherwise)?.value ?? '';
}

/** The service to which the front sends a path. */
export const serviceOfPath = (path: string): string => mapped('service', path);

/** The service to which the front sends a call, as `/steward.v1.KeyService/GetKey`. */
export const serviceOfCall = (path: string): string => mapped('rpc_service', path);

/** The path with something that a value could be in each of its parameters. */
export const samplePath = (path: string): string =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) => (name === 'keyId' ? 'key_0123456789abcdef' : `some-${name}`));

/** The names to which the front sends anything. */
export const targets = [
  ...new Set(['service', 'rpc_service'].flatMap(rulesOf).flatMap(({ value }) => (value === '' ? [] : [value]))),
].sort();
