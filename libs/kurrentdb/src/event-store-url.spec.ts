import { certificatesOf, EventStoreUrlInvalid, parseEventStoreUrl } from './event-store-url.js';

describe('a connection string', () => {
  it('of one node has TLS, the default port and the leader unless it says otherwise', () => {
    expect(parseEventStoreUrl('esdb://db.example.org')).toEqual({
      hosts: [{ address: 'db.example.org', port: 2113 }],
      discovers: false,
      credentials: undefined,
      tls: true,
      tlsCaFile: undefined,
      userCertFile: undefined,
      userKeyFile: undefined,
      nodePreference: 'leader',
      connectionName: 'steward',
      keepAliveIntervalMs: undefined,
      keepAliveTimeoutMs: undefined,
    });
  });

  it('of a cluster names all nodes, or one name for them', () => {
    const cluster = parseEventStoreUrl('kurrentdb://u:p@a:1,b:2,c/?tls=false&nodePreference=readOnlyReplica');
    expect(cluster.hosts).toEqual([
      { address: 'a', port: 1 },
      { address: 'b', port: 2 },
      { address: 'c', port: 2113 },
    ]);
    expect(cluster).toMatchObject({ discovers: false, tls: false, nodePreference: 'read_only_replica' });
    expect(parseEventStoreUrl('esdb+discover://cluster.dns:2113')).toMatchObject({ discovers: true });
    expect(parseEventStoreUrl('kurrentdb+discover://cluster.dns')).toMatchObject({ discovers: true });
  });

  it('has a whole password, colons and signs too', () => {
    const { credentials } = parseEventStoreUrl('esdb://ad%40min:a:b%3Ac%2Fd%3F@h:1?tls=true&keepAliveInterval=5000');
    expect(credentials).toEqual({ username: 'ad@min', password: 'a:b:c/d?' });
  });

  it.each([
    ['http://user:hunter2@h', 'must begin with'],
    ['esdb://', 'hosts as name:port'],
    ['esdb://user:hunter2@h:99999', 'hosts as name:port'],
    ['esdb://hunter2@h', 'both user and password'],
    ['esdb://user:hunter2%@h', 'percent sign'],
    ['esdb://user:hunter2@h?tls=yes', 'tls as true or false'],
    ['esdb://user:hunter2@h?tlsVerifyCert=false', 'tlsVerifyCert'],
    ['esdb://user:hunter2@h?nodePreference=nearest', 'nodePreference as leader'],
    ['esdb://user:hunter2@h?keepAliveTimeout=soon', 'keepAliveTimeout as a number'],
    ['esdb://user:hunter2@h?userCertFile=c.pem', 'together'],
    ['esdb://user:hunter2@h?hunter=2', 'mean nothing: hunter'],
  ])('that is wrong says what, and nothing of the password: %s', (text, problem) => {
    let message = '';
    try {
      parseEventStoreUrl(text);
    } catch (error) {
      expect(error).toBeInstanceOf(EventStoreUrlInvalid);
      message = String(error);
    }
    expect(message).toContain(problem);
    expect(message).not.toContain('hunter2');
  });

  it('that names a file which cannot be read is refused before anything is sent', () => {
    expect(() => certificatesOf(parseEventStoreUrl('esdb://h?tlsCAFile=/nowhere/ca.pem'))).toThrow('tlsCAFile');
  });
});
