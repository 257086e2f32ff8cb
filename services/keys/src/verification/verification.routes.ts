import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import {
  type Admission,
  BULK_BODY_BYTES_MAX,
  documentRawPaths,
  Gatekeeper,
  LOGGER,
  registerRawRoutes,
  RequestContexts,
  type Requirement,
  sendProblem,
  tokenOf,
} from '#libs/platform';
import { KeyVerifier } from './key-verifier.js';
import { keyPatternDocument } from './key-pattern.js';
import { verificationPaths } from './verification.openapi.js';
import { verifyAnswerJson } from './verify-answer.js';
import { readVerifyBatch, readVerifyRequest } from './verify-request.js';

const mayVerify: Requirement = { action: 'keys:verify', target: 'list', decidesFromMemory: true };

const one = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header.join(', ') : header === '' ? undefined : header;

const JSON_TYPE = 'application/json; charset=utf-8';

/**
 * Verification over HTTP. It stands on Fastify itself, outside Nest's pipes, guards and interceptors, which would cost
 * three times what a decision costs; the Gatekeeper and the limits of every route hold all the same.
 */
@Injectable()
export class VerificationRoutes implements OnModuleInit {
  constructor(
    private readonly adapterHost: HttpAdapterHost,
    private readonly gatekeeper: Gatekeeper,
    private readonly verifier: KeyVerifier,
    private readonly contexts: RequestContexts,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    registerRawRoutes(this.adapterHost, (fastify) => {
      this.register(fastify);
      documentRawPaths(fastify, verificationPaths);
    });
  }

  private register(fastify: FastifyInstance): void {
    fastify.post('/v1/keys/verify', { config: { quiet: true } }, (request, reply) =>
      this.answer(request, reply, async () => {
        const { principal } = await this.admit(request);
        return this.verifier.verify(readVerifyRequest(request.body ?? {}), principal, verifyAnswerJson);
      }),
    );
    fastify.post(
      '/v1/keys/verify-batch',
      { config: { quiet: true, bodyBytesMax: BULK_BODY_BYTES_MAX } },
      (request, reply) =>
        this.answer(request, reply, async () => {
          const { principal } = await this.admit(request);
          const answers = await this.verifier.verifyBatch(
            readVerifyBatch(request.body ?? {}),
            principal,
            verifyAnswerJson,
          );
          return `{"results":[${answers.join(',')}]}`;
        }),
    );
    fastify.get('/.well-known/steward-keys', { config: { quiet: true } }, (_request, reply) =>
      reply.type(JSON_TYPE).header('cache-control', 'public, max-age=3600').send(keyPatternDocument),
    );
  }

  private async answer(request: FastifyRequest, reply: FastifyReply, make: () => Promise<string>): Promise<void> {
    try {
      const json = await make();
      void reply.header('content-type', JSON_TYPE).send(json);
    } catch (error) {
      sendProblem(this.logger, error, request, reply);
    }
  }

  private async admit(request: FastifyRequest): Promise<Admission> {
    const { headers } = request;
    const position = headers['steward-position'];
    const admission = await this.gatekeeper.admit({
      token: tokenOf((name) => one(headers[name])),
      ip: request.ip,
      requires: mayVerify,
      params: {},
      ...(position === undefined
        ? {}
        : { minPosition: () => this.contexts.position({ 'header.Steward-Position': one(position) }) }),
    });
    request.admitted = admission;
    return admission;
  }
}
