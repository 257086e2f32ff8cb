import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Refusal } from '#libs/eventsourcing';
import { problemHeaders, problemOf } from '#libs/platform';

const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
};

function answer(
  { headers, method }: IncomingMessage,
  response: ServerResponse,
  status: number,
  ownHeaders: Record<string, string>,
  body: string,
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  response.writeHead(status, {
    ...HEADERS,
    ...ownHeaders,
    'content-length': Buffer.byteLength(body),
    // Whoever asked whether to send a body was not told to, and nobody knows whether it comes.
    ...(headers.expect === undefined ? {} : { connection: 'close' }),
  });
  response.end(method === 'HEAD' ? '' : body);
}

/** What the front refuses itself, in the form of every other refusal. */
export function answerProblem(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  const requestId = randomUUID();
  const problem = problemOf(refusal, requestId);
  const headers = { ...problemHeaders(refusal), 'steward-request-id': requestId };
  answer(request, response, problem.status, headers, JSON.stringify(problem));
}

export function answerJson(request: IncomingMessage, response: ServerResponse, status: number, value: unknown): void {
  answer(request, response, status, { 'content-type': 'application/json; charset=utf-8' }, JSON.stringify(value));
}
