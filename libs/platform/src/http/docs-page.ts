import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { errorCodes } from '#libs/contracts';

/** The reader's own files; read when the page is first asked for, so that a start does not pay for them. */
const assets: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
};
const folder = (): string => join(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'), '..');

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Steward API</title>
    <link rel="stylesheet" href="/docs/swagger-ui.css">
  </head>
  <body>
    <div id="reader"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>`;

const start = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#reader', deepLinking: true });`;

const errorPage = `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <title>Errors of Steward</title>
  <h1>Errors</h1>
  <dl>
${Object.entries(errorCodes)
  .map(([code, { status, title }]) => `<dt id="${code}"><code>${code}</code> (${status})</dt><dd>${title}</dd>`)
  .join('\n')}
  </dl>
</html>`;

/** The page draws itself with styles of its own and loads nothing from elsewhere. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'";

/** `/docs`, the reader of `/openapi.json`, and `/docs/errors`, where the `type` of every problem leads. */
export function serveDocsPage(fastify: FastifyInstance): void {
  const served = (path: string, type: string, body: () => string | Buffer): void => {
    let kept: string | Buffer | undefined;
    fastify.get(path, { config: { quiet: true } }, (_request, reply) =>
      reply
        .header('content-security-policy', PAGE_POLICY)
        .type(type)
        .send((kept ??= body())),
    );
  };
  served('/docs', 'text/html; charset=utf-8', () => page);
  served('/docs/start.js', 'text/javascript; charset=utf-8', () => start);
  served('/docs/errors', 'text/html; charset=utf-8', () => errorPage);
  for (const [name, type] of Object.entries(assets))
    served(`/docs/${name}`, type, () => readFileSync(join(folder(), name)));
}
