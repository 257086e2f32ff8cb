import type { KeyOwnerType } from '#libs/contracts';
import { newToken } from '../../services/keys/src/key-secret.js';
import { type Actor, type ActorName, actors } from './actors.js';
import type { HttpClient } from './http-client.js';

/** Where the thing of a request stands, seen from whoever asks. */
export const relations = ['none', 'itself', 'own', 'same project', 'same tenant', 'other tenant'] as const;
export type Relation = (typeof relations)[number];

/** A project with its tenant, and somebody in it whom nobody else is: `userId` a tenant_user, `principalId` a service. */
export interface Place {
  readonly tenantId: string;
  readonly projectId: string;
  readonly userId: string;
  readonly principalId: string;
}

interface Owner {
  readonly type: KeyOwnerType;
  readonly id: string;
}

/** An actor as it was made: null where no key goes with it, or no token. */
export interface Someone {
  readonly owner: Owner | null;
  readonly token: string | null;
  readonly keyId: string | null;
}

interface Created {
  readonly key: { readonly id: string };
  readonly secret: string;
}

const SERVICE = 'container-compute';
let worlds = 0;

/**
 * The tenant and the project of the actors, the place that a row's relation names, and the actors that were asked for.
 * Every id is new, so any number of worlds stand in one running Steward.
 */
export class World {
  readonly #id: string;
  readonly #made = new Map<string, Promise<unknown>>();
  readonly #turns = new Map<string, Promise<unknown>>();
  #ids = 0;

  private constructor(
    readonly client: HttpClient,
    private readonly signIn: (userId: string) => Promise<string>,
    readonly home: Place,
    readonly place: Place,
    id: string,
  ) {
    this.#id = id;
  }

  static async of(client: HttpClient, signIn: (userId: string) => Promise<string>, relation: Relation): Promise<World> {
    worlds += 1;
    const id = String(worlds);
    const at = (letter: string, tenantId: string): Place => ({
      tenantId,
      projectId: `${letter}-${id}`,
      userId: `${letter}-user-${id}`,
      principalId: `${letter}-service-${id}`,
    });
    const [tenant, other] = [`tenant-${id}`, `other-${id}`];
    const home = at('home', tenant);
    const place =
      relation === 'other tenant' ? at('far', other) : relation === 'same tenant' ? at('next', tenant) : home;
    const world = new World(client, signIn, home, place, id);
    await Promise.all([...new Set([tenant, place.tenantId])].map((one) => world.#make('/v1/tenants', one)));
    await Promise.all(
      [...new Set([home, place])].map((one) => world.#make(`/v1/tenants/${one.tenantId}/projects`, one.projectId)),
    );
    await world.#join(place.projectId, place.userId);
    return world;
  }

  #make(path: string, id: string): Promise<unknown> {
    return this.client.made('POST', path, { id, name: id });
  }

  /** The service principal of the place. */
  async hasPrincipal(): Promise<void> {
    const { tenantId, principalId } = this.place;
    const principal = { type: 'service', role: 'service', tenantId };
    await this.once(principalId, () => this.client.made('PUT', `/v1/principals/${principalId}`, principal));
  }

  #join(projectId: string, userId: string, role = 'tenant_user'): Promise<unknown> {
    return this.#inTurn(projectId, 'PUT', `members/${userId}`, { role });
  }

  /** One after the other, for all these write to the project's one stream. */
  #inTurn(projectId: string, method: string, path: string, body?: unknown): Promise<unknown> {
    const before = this.#turns.get(projectId) ?? Promise.resolve();
    const done = before.then(() => this.client.made(method, `/v1/projects/${projectId}/${path}`, body));
    this.#turns.set(projectId, done);
    return done;
  }

  /** New in this world. */
  newId(what: string): string {
    this.#ids += 1;
    return `${what}-${this.#id}-${this.#ids}`;
  }

  async newMember(projectId: string): Promise<string> {
    const userId = this.newId('member');
    await this.#join(projectId, userId);
    return userId;
  }

  once<Thing>(name: string, make: () => Promise<Thing>): Promise<Thing> {
    const made = (this.#made.get(name) as Promise<Thing> | undefined) ?? make();
    this.#made.set(name, made);
    return made;
  }

  /** Lets the member use what is reserved here. */
  async mayUseServices(projectId: string, userId: string): Promise<void> {
    const path = `members/${userId}/services/${SERVICE}`;
    await this.once(`${projectId} ${path}`, () => this.#inTurn(projectId, 'PUT', path));
  }

  async newKey(projectId: string | null, owner: Owner, body: object = { ttlDays: 30 }): Promise<Created> {
    const path = projectId === null ? `/v1/principals/${owner.id}/keys` : `/v1/projects/${projectId}/keys`;
    const named = projectId === null ? body : { owner, ...body };
    return (await this.client.made('POST', path, named)).body as Created;
  }

  async someone(name: ActorName): Promise<Someone> {
    const actor: Actor = actors[name];
    const { projectId, tenantId } = this.home;
    const id = `${name}-${this.#id}`;
    const asSomeone = ({ key, secret }: Created, owner: Owner): Someone => ({ owner, token: secret, keyId: key.id });
    switch (actor.is) {
      case 'nobody':
        return { owner: null, token: actor.token === 'none' ? null : newToken('live', UNKNOWN_KEY), keyId: null };
      case 'member': {
        const owner = { type: 'user', id } as const;
        await this.#join(projectId, id, actor.role);
        const made = await this.newKey(projectId, owner, actor.key);
        if (actor.then === 'revoke')
          await this.client.made('POST', `/v1/keys/${made.key.id}/revoke`, { reason: 'compromised' });
        if (actor.then === 'suspend') await this.#inTurn(projectId, 'POST', `members/${id}/suspend`);
        return asSomeone(made, owner);
      }
      case 'person': {
        await this.#join(projectId, id);
        if (this.place.tenantId === tenantId && this.place !== this.home)
          await this.#join(this.place.projectId, id, 'tenant_admin');
        return { owner: { type: 'user', id }, token: await this.signIn(id), keyId: null };
      }
      case 'project': {
        const owner = { type: 'project', id: projectId } as const;
        return asSomeone(await this.newKey(projectId, owner, { ...actor.key, role: actor.role }), owner);
      }
      case 'service-in-project':
      case 'principal': {
        const type = actor.is === 'principal' ? actor.type : 'service';
        const role = actor.is === 'principal' ? actor.role : 'service';
        const inTenant = actor.is !== 'principal' || actor.ofTenant ? { tenantId } : {};
        await this.client.made('PUT', `/v1/principals/${id}`, { type, role, ...inTenant });
        const owner = { type, id } as const;
        const made =
          actor.is === 'principal'
            ? await this.newKey(null, owner, { canManageKeys: true })
            : await this.newKey(projectId, owner, actor.key);
        return asSomeone(made, owner);
      }
      case 'bootstrap':
        return {
          owner: { type: 'service', id: 'bootstrap-admin' },
          token: this.client.rootToken,
          keyId: `key_${this.client.rootToken.split('_')[2] ?? ''}`,
        };
    }
  }
}

const UNKNOWN_KEY = 'key_nobodyHasThisId1';
