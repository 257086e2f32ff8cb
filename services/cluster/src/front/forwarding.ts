import {
  type Agent,
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
  type ServerResponse,
} from 'node:http';
import { pipeline } from 'node:stream';
import { Refusal } from '#libs/eventsourcing';
import { answerProblem } from './answers.js';
import { endToEndHeaders, forwardedHeaders } from './headers.js';
import { type Replica, type Replicas } from './replicas.js';

/** Until a replica has taken the connection. */
const CONNECT_MS_MAX = 2_000;
/** From the last byte of the request until the first of the answer; the longest command takes some seconds. */
const ANSWER_MS_MAX = 60_000;

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * `refused` = nothing of the request was sent; `died` = something was, and no answer came; `answered` = the answer, or
 * as much as came of it, is with the client; `gone` = the client is.
 */
type Outcome = 'refused' | 'died' | 'answered' | 'gone';

export interface ForwardingParts {
  readonly agent: Agent;
  readonly trustedProxies: readonly string[];
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/**
 * Hands one request to a replica and its answer back, piece by piece as they come. A replica that refuses the connection
 * is followed by the next, each once; what dies later may have been done, so only what changes nothing is asked again.
 */
export async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  replicas: Replicas,
  parts: ForwardingParts,
): Promise<void> {
  const mayRepeat = SAFE.has(request.method ?? '') && !hasBody(request);
  for (const replica of replicas.candidates()) {
    const outcome = await attempt(request, response, replica, parts);
    if (outcome === 'answered' || outcome === 'gone') return;
    replicas.failed(replica);
    if (outcome === 'died' && !mayRepeat) {
      const detail = 'The process that took the request ended before it answered.';
      answerProblem(request, response, new Refusal('OUTCOME_UNKNOWN', detail));
      return;
    }
  }
  const detail = `No process of the service ${replicas.service} answers.`;
  answerProblem(request, response, new Refusal('SERVICE_UNAVAILABLE', detail));
}

function attempt(
  request: IncomingMessage,
  response: ServerResponse,
  { host, port }: Replica,
  { agent, trustedProxies }: ForwardingParts,
): Promise<Outcome> {
  const { method, url } = request;
  const headers = forwardedHeaders(request, trustedProxies);
  return new Promise((resolve) => {
    if (response.destroyed) {
      resolve('gone');
      return;
    }
    const sent = httpRequest({ host, port, agent, method, path: url, headers, setHost: false });
    let state: 'connecting' | 'sent' | 'answered' | 'settled' = 'connecting';
    let timer = setTimeout(() => sent.destroy(), CONNECT_MS_MAX);
    const settle = (outcome: Outcome): void => {
      state = 'settled';
      clearTimeout(timer);
      response.off('close', onClientGone);
      resolve(outcome);
    };
    const onClientGone = (): void => {
      sent.destroy();
      settle('gone');
    };
    response.once('close', onClientGone);

    sent.once('socket', (socket) => {
      const begin = (): void => {
        clearTimeout(timer);
        state = 'sent';
        sendBody(request, sent);
      };
      if (socket.connecting) socket.once('connect', begin);
      else begin();
    });
    sent.once('finish', () => {
      if (state === 'sent') timer = setTimeout(() => sent.destroy(), ANSWER_MS_MAX);
    });
    sent.once('continue', () => {
      response.writeContinue();
    });
    sent.once('response', (answer) => {
      clearTimeout(timer);
      state = 'answered';
      passOn(answer, request, response, () => {
        settle('answered');
        if (!sent.writableFinished) sent.destroy();
      });
    });
    sent.on('error', () => {
      if (state === 'connecting') settle('refused');
      else if (state === 'sent') settle('died');
      // What fails after the answer has begun shows in the answer itself.
    });
  });
}

function sendBody(request: IncomingMessage, sent: ClientRequest): void {
  if (!hasBody(request)) {
    sent.end();
    return;
  }
  // What is still to come of a body that nobody takes would keep the client from its next request.
  sent.once('close', () => {
    request.unpipe(sent);
    request.resume();
  });
  // The client may wait for a sign before it sends its body, so the head must not wait for the body.
  sent.flushHeaders();
  request.pipe(sent);
}

function passOn(answer: IncomingMessage, request: IncomingMessage, response: ServerResponse, done: () => void): void {
  // A replica that closes before it has read a body reads no further request of this client either.
  const isLast = !request.complete && answer.headers.connection === 'close';
  const headers = { ...endToEndHeaders(answer), ...(isLast ? { connection: 'close' } : {}) };
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage, headers);
  // A stream of events says at once that it has begun, and says nothing for long perhaps.
  response.flushHeaders();
  pipeline(answer, response, (error) => {
    // An answer that breaks off must not look like a whole one.
    if (error) response.destroy();
    done();
  });
}
