import { Injectable } from '@nestjs/common';
import type { KeyOwner, KeyOwnerType } from '#libs/contracts';
import { AccessIndex } from './access-index.js';
import { KeyDirectory } from './credentials.js';
import type { Principal } from './principal.js';

/** What an action is done to. A thing of the platform itself has neither tenant nor project. */
export interface Target {
  readonly tenantId: string | null;
  readonly projectId: string | null;
  readonly owner?: { readonly type: KeyOwnerType; readonly id: string };
  /** The member whom it is about. */
  readonly userId?: string;
  readonly principalId?: string;
  readonly keyId?: string;
  /** A list of what lies there, of which each caller sees a part; it is no single thing. */
  readonly listed?: true;
}

/**
 * How a route names its target, by the parameters of its path:
 * `platform` none; `tenant` tenantId; `project` projectId; `member` projectId and userId; `self` the caller's own row in
 * projectId; `key` keyId; `principal` principalId; `user` tenantId and userId, in every project of the tenant;
 * `list` what the caller may see below projectId, tenantId or, without either, everywhere;
 * `deferred` as `list`, and the handler asks `Gatekeeper.authorize` for each thing that the body names.
 */
export type TargetKind =
  'platform' | 'tenant' | 'project' | 'member' | 'self' | 'user' | 'key' | 'principal' | 'list' | 'deferred';

export const targetParams: Readonly<Record<TargetKind, readonly string[]>> = {
  platform: [],
  tenant: ['tenantId'],
  project: ['projectId'],
  member: ['projectId', 'userId'],
  self: ['projectId'],
  user: ['tenantId', 'userId'],
  key: ['keyId'],
  principal: ['principalId'],
  list: [],
  deferred: [],
};

export type PathParams = Readonly<Record<string, string | undefined>>;

/** Finds targets in this process's indexes; undefined is one that does not exist. */
@Injectable()
export class Targets {
  constructor(
    private readonly index: AccessIndex,
    private readonly keys: KeyDirectory,
  ) {}

  tenant(tenantId: string): Target | undefined {
    return this.index.tenant(tenantId) && { tenantId, projectId: null };
  }

  project(projectId: string): Target | undefined {
    const project = this.index.project(projectId);
    return project && { tenantId: project.tenantId, projectId };
  }

  /** The place of a member, who need not be there yet. */
  member(projectId: string, userId: string): Target | undefined {
    const project = this.project(projectId);
    return project && { ...project, userId };
  }

  /** A key that the owner has, or would have, in the project. */
  ownedBy(projectId: string, owner: Pick<KeyOwner, 'type' | 'id'>): Target | undefined {
    const project = this.project(projectId);
    return project && { ...project, owner };
  }

  /** Deleted keys stay findable, so that a repeated delete is answered as it was; handlers answer 404 for them. */
  key(keyId: string): Target | undefined {
    const key = this.keys.find(keyId);
    return key && { tenantId: key.tenantId, projectId: key.projectId, owner: key.owner, keyId };
  }

  principal(principalId: string): Target | undefined {
    const principal = this.index.principal(principalId);
    return (
      principal && {
        tenantId: principal.tenantId,
        projectId: null,
        owner: { type: principal.type, id: principalId },
        principalId,
      }
    );
  }

  resolve(kind: TargetKind, params: PathParams, caller: Principal): Target | undefined {
    const { tenantId = '', projectId = '', userId = '', keyId = '', principalId = '' } = params;
    switch (kind) {
      case 'platform':
        return { tenantId: null, projectId: null };
      case 'tenant':
        return this.tenant(tenantId);
      case 'project':
        return this.project(projectId);
      case 'member':
        return this.member(projectId, userId);
      case 'self':
        return this.member(projectId, caller.id);
      case 'user': {
        const tenant = this.tenant(tenantId);
        return tenant && { ...tenant, userId };
      }
      case 'key':
        return this.key(keyId);
      case 'principal':
        return this.principal(principalId);
      case 'list':
      case 'deferred':
        return this.place(params);
    }
  }

  private place({ tenantId, projectId }: PathParams): Target | undefined {
    if (projectId !== undefined) {
      const project = this.project(projectId);
      return project && { ...project, listed: true };
    }
    if (tenantId === undefined) return { tenantId: null, projectId: null, listed: true };
    const tenant = this.tenant(tenantId);
    return tenant && { ...tenant, listed: true };
  }
}
