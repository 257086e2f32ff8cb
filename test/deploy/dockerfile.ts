import { readFileSync } from 'node:fs';

/** An instruction with its lines joined: `['COPY', 'package.json ./']`. */
export type Instruction = readonly [name: string, rest: string];

export const root = new URL('../../', import.meta.url);

export function instructions(): Instruction[] {
  return readFileSync(new URL('deploy/Dockerfile', root), 'utf8')
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name = '', ...rest] = line.split(' ');
      return [name, rest.join(' ')];
    });
}

export const restsOf = (name: string): string[] =>
  instructions()
    .filter(([found]) => found === name)
    .map(([, rest]) => rest);

/** The variables that the image sets. */
export const imageEnvironment = (): Record<string, string> =>
  Object.fromEntries(
    restsOf('ENV')
      .flatMap((rest) => rest.split(/\s+/))
      .map((pair) => {
        const [name = '', value = ''] = pair.split('=');
        return [name, value];
      }),
  );

/** The folders that the image gives to its user, to be covered by volumes. */
export const imageFolders = (): string[] =>
  restsOf('RUN')
    .filter((rest) => rest.startsWith('install -d '))
    .flatMap((rest) => rest.split(/\s+/).filter((word) => word.startsWith('/')));
