import { type ArgumentsHost, Catch, type ExceptionFilter, Inject } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { errorCodes } from '#libs/contracts';
import { problemHeaders, problemOf, refusalOf } from '../requests/problem.js';
import { LOGGER } from '../tokens.js';

/** Answers every error as a problem document. What nobody expected is told to the log alone, under the request's id. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(@Inject(LOGGER) private readonly logger: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendProblem(this.logger, error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }
}

/** The same for a route that is registered on Fastify itself. */
export function sendProblem(logger: Logger, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const refusal = refusalOf(error);
  const { status } = errorCodes[refusal.code];
  if (refusal.code === 'INTERNAL')
    logger.error({ err: error, requestId: request.id }, 'A request failed unexpectedly.');
  if (reply.raw.headersSent) {
    // Part of the answer is out, so the only honest end is a broken connection.
    reply.raw.destroy();
    return;
  }
  // What a handler had set for its own answer does not belong to the problem.
  for (const name of ['etag', 'steward-position', 'content-length']) reply.removeHeader(name);
  void reply
    .status(status)
    .headers(problemHeaders(refusal))
    .send(JSON.stringify(problemOf(refusal, request.id)));
}
