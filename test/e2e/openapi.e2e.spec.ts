import { readFileSync, writeFileSync } from 'node:fs';
import { StewardProcess } from '#libs/testing';

const file = new URL('../../docs/api/openapi.json', import.meta.url);

/** What a JSON pointer of the document's own names; undefined where nothing stands there. */
const named = (document: unknown, reference: string): unknown =>
  reference
    .replace(/^#\//, '')
    .split('/')
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], document);

function referencesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, within]) =>
    name === '$ref' && typeof within === 'string' ? [within] : referencesIn(within),
  );
}

describe('the OpenAPI document', () => {
  let steward: StewardProcess;
  beforeAll(async () => {
    steward = await StewardProcess.start();
  });
  afterAll(async () => {
    await steward.stop();
  });

  it('is the one that is checked in (`npm run openapi` writes it anew)', async () => {
    const response = await fetch(`${steward.url}/openapi.json`);
    const served = `${JSON.stringify(await response.json(), null, 2)}\n`;
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, served);
    expect(served).toBe(readFileSync(file, 'utf8'));
  });

  it('refers to nothing that it does not have', () => {
    const document: unknown = JSON.parse(readFileSync(file, 'utf8'));
    const references = [...new Set(referencesIn(document))];
    expect(references.length).toBeGreaterThan(50);
    expect(references.filter((reference) => named(document, reference) === undefined)).toEqual([]);
  });

  it('has a reader that loads nothing from elsewhere', async () => {
    const page = await (await fetch(`${steward.url}/docs`)).text();
    const loaded = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path as string);
    expect(loaded.length).toBeGreaterThan(2);
    for (const path of loaded) {
      expect(path).toMatch(/^\/docs\//);
      expect((await fetch(steward.url + path)).status).toBe(200);
    }
  });
});
