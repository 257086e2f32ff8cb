import { v7 as uuidV7 } from 'uuid';
import { type Actor, type ActorName, actors } from './actors.js';
import type { Place, Relation, Someone, World } from './world.js';

interface KeyAsked {
  readonly id: string;
  readonly secret: string;
}

interface CellOptions {
  readonly world: World;
  readonly relation: Relation;
  readonly actor: ActorName;
  readonly someone: Someone;
  /** False where the thing asked for stays as it is, so that it may be asked for again. */
  readonly changes: boolean;
}

/** One actor before one thing. What the request needs is made when it is first asked for. */
export class Cell {
  readonly world: World;
  readonly isOwn: boolean;
  place: Place;
  readonly #options: CellOptions;
  #key: Promise<KeyAsked> | undefined;

  constructor(options: CellOptions) {
    const { world, relation, someone } = options;
    this.#options = options;
    this.world = world;
    this.isOwn = relation === 'own' || relation === 'itself';
    const { id } = someone.owner ?? { id: 'nobody' };
    this.place = this.isOwn ? { ...world.home, userId: id, principalId: id } : world.place;
  }

  /** False for those whom no thing is shown, whatever it is: a credential that does not count. */
  get counts(): boolean {
    const actor: Actor = actors[this.#options.actor];
    return actor.is !== 'nobody' && !(actor.is === 'member' && actor.then !== undefined);
  }

  /** Of whom the relation names: the actor, or the user of the place. */
  key(): Promise<KeyAsked> {
    return (this.#key ??= this.#shared('key', () => this.#newKey()));
  }

  /** In the place of the user whom no other cell asks for. */
  async ofNewMember(): Promise<void> {
    if (this.isOwn || !this.#options.changes) return;
    this.place = { ...this.place, userId: await this.world.newMember(this.place.projectId) };
  }

  async mayUseServices(): Promise<void> {
    if (this.counts) await this.world.mayUseServices(this.place.projectId, this.place.userId);
  }

  /** The path with every parameter in it. */
  filled(path: string, more: Readonly<Record<string, string>> = {}): string {
    return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
      const value = ({ ...this.place, ...more } as Record<string, string | undefined>)[name];
      if (value === undefined) throw new Error(`Nothing says what {${name}} of ${path} is.`);
      return encodeURIComponent(value);
    });
  }

  /** As `filled`, with what has to be made for it. */
  async pathOf(path: string, more: Readonly<Record<string, string>> = {}): Promise<string> {
    const made: Record<string, string> = { ...more };
    if (path.includes('{principalId}') && !this.isOwn) await this.world.hasPrincipal();
    if (path.includes('{keyId}')) made['keyId'] = (await this.key()).id;
    if (path.includes('{id}'))
      made['id'] = await this.#usage(path.includes('/reservations/') ? 'reservations' : 'allocations');
    if (path.includes('{resourceRef}')) {
      made['resourceRef'] = await this.#shared('resourceRef', async () => {
        const resourceRef = `vm-${uuidV7()}`;
        await this.#usage('allocations', { resourceRef });
        return resourceRef;
      });
    }
    return this.filled(path, made);
  }

  async #newKey(): Promise<KeyAsked> {
    const { relation, someone, actor } = this.#options;
    if (!this.counts) return { id: 'key_0000000000000000', secret: someone.token ?? 'none' };
    if (relation === 'itself') return { id: someone.keyId ?? '', secret: someone.token ?? '' };
    const { is } = actors[actor];
    const owner =
      this.isOwn && someone.owner !== null ? someone.owner : ({ type: 'user', id: this.place.userId } as const);
    const ofPrincipal = this.isOwn && (is === 'principal' || is === 'bootstrap');
    const { key, secret } = await this.world.newKey(ofPrincipal ? null : this.place.projectId, owner, {
      ttlDays: 30,
      ...(is === 'project' && this.isOwn ? { role: actors[actor].role } : {}),
    });
    return { id: key.id, secret };
  }

  #usage(kind: 'reservations' | 'allocations', more: object = {}): Promise<string> {
    const { projectId, userId } = this.place;
    return this.#shared(kind, async () => {
      const id = uuidV7();
      if (!this.counts) return id;
      await this.mayUseServices();
      const items = [{ service: 'container-compute', resource: 'cpu', amount: 1 }];
      await this.world.client.made('POST', `/v1/projects/${projectId}/${kind}`, { id, userId, items, ...more });
      return id;
    });
  }

  /** One for all cells of the world that leave it as it is. */
  #shared<Thing>(name: string, make: () => Promise<Thing>): Promise<Thing> {
    return this.isOwn || this.#options.changes || !this.counts ? make() : this.world.once(name, make);
  }
}
