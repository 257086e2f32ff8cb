import type { QueryBus } from '@nestjs/cqrs';
import { readFields, unary, type UnaryMethod, withoutPosition } from '#libs/platform';
import { KeyPath, ProjectPath } from '../keys.dto.js';
import { AllKeyUsageQuery, KeyUsageQuery, ProjectKeyUsageQuery } from './usage.dto.js';
import { GetAllKeyUsageQuery, GetKeyUsageQuery, GetProjectKeyUsageQuery } from './usage.queries.js';

const read = <T extends object>(type: new () => T, fields: object): T => readFields(type, fields, 'request');

/** The routes of UsageController as methods of steward.v1.KeyService. */
export const usageMethods = (queries: QueryBus): Readonly<Record<string, UnaryMethod>> => ({
  getKeyUsage: unary('keys:read', 'key', async (request) => {
    const { keyId: id, ...fields } = withoutPosition(request) as { keyId?: unknown };
    const { keyId } = read(KeyPath, { keyId: id });
    const { lastUsedAt, ...view } = await queries.execute(new GetKeyUsageQuery(keyId, read(KeyUsageQuery, fields)));
    return lastUsedAt === null ? view : { ...view, lastUsedAt };
  }),
  getProjectKeyUsage: unary('keys:read', 'project', (request) => {
    const { projectId: id, ...fields } = withoutPosition(request) as { projectId?: unknown };
    const { projectId } = read(ProjectPath, { projectId: id });
    return queries.execute(new GetProjectKeyUsageQuery(projectId, read(ProjectKeyUsageQuery, fields)));
  }),
  getAllKeyUsage: unary('keys:read', 'deferred', async (request, context) => {
    const fields = read(AllKeyUsageQuery, withoutPosition(request) as object);
    const { tenantId, ...view } = await queries.execute(new GetAllKeyUsageQuery(fields, context));
    return tenantId === null ? view : { ...view, tenantId };
  }),
});
