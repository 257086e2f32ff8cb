import type { IncomingMessage } from 'node:http';
import { addressAllowed } from '#libs/platform';

/** RFC 9110, 7.6.1: they speak of one connection and not of the message. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** What a client could claim of itself; it counts from proxies that are trusted only. */
const CLAIMS = new Set(['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip']);

/** `Connection` drops none of these: a body whose length is gone would be read as the next request. */
const LASTING = new Set(['content-length', 'host', ...CLAIMS]);

type Headers = Record<string, string | string[]>;

/** The headers that belong to the message, with every value of those that came several times. */
export function endToEndHeaders({ rawHeaders, headers }: IncomingMessage): Headers {
  const listed = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase());
  const named = new Set(listed.filter((name) => !LASTING.has(name)));
  const kept: Headers = {};
  for (let n = 0; n < rawHeaders.length; n += 2) {
    const name = (rawHeaders[n] ?? '').toLowerCase();
    const value = rawHeaders[n + 1] ?? '';
    if (HOP_BY_HOP.has(name) || named.has(name)) continue;
    const earlier = kept[name];
    // One value stays a text, for Node takes a list for some headers only.
    kept[name] = earlier === undefined ? value : [earlier, value].flat();
  }
  return kept;
}

/** A client's headers as the replica gets them, with the address that they really came from. */
export function forwardedHeaders(request: IncomingMessage, trustedProxies: readonly string[]): Headers {
  const headers = endToEndHeaders(request);
  const address = request.socket.remoteAddress ?? '';
  const isTrusted = trustedProxies.length > 0 && addressAllowed(address, trustedProxies, []);
  const earlier = isTrusted ? (headers['x-forwarded-for'] ?? []) : [];
  const kept = Object.entries(headers).filter(([name]) => isTrusted || !CLAIMS.has(name));
  const encoding = request.headers['transfer-encoding'];
  return {
    ...Object.fromEntries(kept),
    'x-forwarded-for': [earlier, address].flat().join(', '),
    // A body of unknown length goes on in pieces as it came.
    ...(encoding === undefined ? {} : { 'transfer-encoding': encoding }),
  };
}
