import { EventStoreDBClient } from '@eventstore/db-client';
import { certificatesOf, type EventStoreUrl } from './event-store-url.js';

/** The client, and a way to let go of its connection, which it has none for. */
export class Client extends EventStoreDBClient {
  async disconnect(): Promise<void> {
    (await this.getChannel()).close();
  }
}

/** Its own parser of connection strings is passed by: it cuts passwords at a colon and prints them in its errors. */
export function openClient(url: EventStoreUrl): Client {
  const { ca, cert, key } = certificatesOf(url);
  const credentials = url.tls
    ? {
        insecure: false,
        ...(ca === undefined ? {} : { rootCertificate: ca }),
        ...(cert === undefined ? {} : { userCertFile: cert }),
        ...(key === undefined ? {} : { userKeyFile: key }),
      }
    : { insecure: true };
  const settings = {
    connectionName: url.connectionName,
    ...(url.keepAliveIntervalMs === undefined ? {} : { keepAliveInterval: url.keepAliveIntervalMs }),
    ...(url.keepAliveTimeoutMs === undefined ? {} : { keepAliveTimeout: url.keepAliveTimeoutMs }),
  };
  const [first, ...others] = url.hosts;
  if (first === undefined) throw new TypeError('A connection string has at least one host.');
  const { nodePreference } = url;
  if (url.discovers) return new Client({ ...settings, discover: first, nodePreference }, credentials, url.credentials);
  if (others.length > 0)
    return new Client({ ...settings, endpoints: [...url.hosts], nodePreference }, credentials, url.credentials);
  return new Client({ ...settings, endpoint: first }, credentials, url.credentials);
}
