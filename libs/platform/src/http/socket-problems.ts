import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Refusal } from '#libs/eventsourcing';
import { problemHeaders, problemOf } from '../requests/problem.js';

/** What is going on at a connection, so that an error from below routing knows what it may still say. */
export interface InFlight {
  readonly response: ServerResponse;
  /** A streamed body: it may take longer than a request may. */
  readonly streamed: boolean;
}

export type InFlightBySocket = WeakMap<Duplex, InFlight>;

/** Errors from below routing, before there is a request to answer, as problem documents. */
export function clientErrorHandler(inFlight: InFlightBySocket) {
  return (error: NodeJS.ErrnoException, socket: Socket): void => {
    const current = inFlight.get(socket);
    const unanswered = current !== undefined && !current.response.writableEnded;
    // Node tells of a slow request once and leaves the rest to us; a streamed body may be slow.
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && unanswered && current.streamed) return;
    const speechless = error.code === 'ECONNRESET' || !socket.writable || (unanswered && current.response.headersSent);
    if (!speechless) socket.end(rawProblem(refusalOf(error.code)));
    if (speechless || socket.destroyed) socket.destroy(error);
    else destroySoon(socket);
  };
}

/** How long a client may go on sending what nobody reads, so that it gets to read why. */
const LINGER_MS = 500;

function destroySoon(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  timer.unref();
  socket.once('close', () => {
    clearTimeout(timer);
  });
  socket.resume();
}

function refusalOf(code: string | undefined): Refusal {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Refusal('REQUEST_TIMEOUT', 'The request did not arrive in time.');
  if (code === 'HPE_HEADER_OVERFLOW')
    return new Refusal('HEADERS_TOO_LARGE', 'The request line and the headers are larger than 8 KiB.');
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return new Refusal('BODY_TOO_LARGE', 'The chunk extensions of the body are too large.');
  return new Refusal('HEADER_MALFORMED', 'The request is not well-formed HTTP/1.1.');
}

export function rawProblem(refusal: Refusal, headers: Record<string, string> = {}): string {
  const requestId = randomUUID();
  const problem = problemOf(refusal, requestId);
  const body = JSON.stringify(problem);
  const lines = Object.entries({
    ...problemHeaders(refusal),
    ...headers,
    'steward-request-id': requestId,
    'content-length': String(Buffer.byteLength(body)),
    date: new Date().toUTCString(),
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}\r\n${lines.join('')}\r\n${body}`;
}

/** What Node would answer by itself, or not at all: CONNECT and an expectation that nobody meets. */
export function answerStrangeRequests(server: Server): void {
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => socket.destroy());
    const refusal = new Refusal('METHOD_NOT_ALLOWED', 'This is no proxy.');
    socket.end(rawProblem(refusal, { allow: 'GET, HEAD, POST, PUT, PATCH, DELETE' }));
    destroySoon(socket);
  });
  server.on('checkExpectation', (request: IncomingMessage) => {
    request.socket.end(rawProblem(new Refusal('HEADER_MALFORMED', 'Only Expect: 100-continue is understood.')));
    destroySoon(request.socket);
  });
}
