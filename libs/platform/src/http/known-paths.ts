import type { FastifyInstance } from 'fastify';
import { Refusal } from '#libs/eventsourcing';
import { noSuchRoute } from '../requests/problem.js';

/** Remembers which methods each path has, so that another one is METHOD_NOT_ALLOWED with `Allow` and not NOT_FOUND. */
export class KnownPaths {
  private readonly methodsByPath = new Map<string, Set<string>>();
  private complete = false;

  constructor(private readonly fastify: FastifyInstance) {
    fastify.addHook('onRoute', ({ url, method }) => {
      if (this.complete) return;
      const methods = this.methodsByPath.get(url) ?? new Set();
      for (const one of [method].flat()) methods.add(one);
      this.methodsByPath.set(url, methods);
    });
  }

  /**
   * Gives every path the methods that it lacks. Call it after the last route. A path in words so wins over one with a
   * parameter in its place: `GET /v1/keys/verify` is a wrong method and not a key called verify.
   */
  refuseOtherMethods(): void {
    this.complete = true;
    for (const [url, methods] of this.methodsByPath) {
      const allow = allowOf(methods);
      const others = this.fastify.supportedMethods.filter((method) => !methods.has(method));
      if (others.length === 0 || url.includes('*')) continue;
      this.fastify.route({
        method: others,
        url,
        // The body is of no interest, so it is refused before it is read.
        onRequest: (_request, reply, done) => {
          reply.header('allow', allow);
          done(methodNotAllowed(allow));
        },
        handler: () => undefined,
      });
    }
  }

  /** The refusal of a request that met no route: of a method that HTTP knows and the router does not, or of its path. */
  refusalOf(method: string, path: string): { refusal: Refusal; allow?: string } {
    if (!this.fastify.supportedMethods.includes(method))
      for (const [url, methods] of this.methodsByPath)
        if (new RegExp(`^${url.replaceAll('.', '\\.').replaceAll(/:[^/]+/g, '[^/]+')}$`).test(path)) {
          const allow = allowOf(methods);
          return { refusal: methodNotAllowed(allow), allow };
        }
    return { refusal: noSuchRoute() };
  }
}

const allowOf = (methods: ReadonlySet<string>): string => [...methods].sort().join(', ');

const methodNotAllowed = (allow: string): Refusal => new Refusal('METHOD_NOT_ALLOWED', `This path takes ${allow}.`);
