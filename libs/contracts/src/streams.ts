/** Stream names. An id that must be unique is a stream name, and its first append expects revision 0. */
export const tenantStream = (tenantId: string): string => `tenant-${tenantId}`;
export const projectStream = (projectId: string): string => `project-${projectId}`;
export const principalStream = (principalId: string): string => `principal-${principalId}`;
/** A key's stream bears the 16 characters of its ID without the `key_` prefix. */
export const keyStream = (keyId: string): string => `key-${keyId.slice('key_'.length)}`;
export const subjectStream = (subjectId: string): string => `subject-${subjectId}`;
/** Limits, reservations and usage of a project and all its members; its first event is ProjectQuotaOpened. */
export const projectQuotaStream = (projectId: string): string => `projectQuota-${projectId}`;
export const quotaCatalogueStream = 'quotaCatalogue-platform';

/** Every category of stream that Steward writes. */
export const categories = [
  'tenant',
  'project',
  'principal',
  'key',
  'subject',
  'projectQuota',
  'quotaCatalogue',
  'quotaRequest',
  'tenantQuota',
] as const;

/** What stands before the first hyphen: `key`, `project`, ... Ids may hold hyphens, categories never do. */
export const categoryOf = (stream: string): string => stream.slice(0, stream.indexOf('-'));
export const idOf = (stream: string): string => stream.slice(stream.indexOf('-') + 1);
