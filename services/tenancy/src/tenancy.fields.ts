import type { MemberRole, PlatformRole, PrincipalType } from '#libs/contracts';
import { refuseSecret } from '#libs/platform';

/** The fields that requests and answers of tenancy have in common. */

const NAME_LENGTH_MAX = 100;
const EMAIL_LENGTH_MAX = 254;

export const memberRoles = ['tenant_admin', 'tenant_user'] as const satisfies readonly MemberRole[];
export const platformRoles = [
  'platform_admin',
  'tenant_owner',
  'auditor',
  'service',
] as const satisfies readonly PlatformRole[];
export const principalTypes = ['user', 'service'] as const satisfies readonly PrincipalType[];

export const name = { max: NAME_LENGTH_MAX, check: refuseSecret };
export const email = {
  max: EMAIL_LENGTH_MAX,
  pattern: /^[^\s@]+@[^\s@]+$/,
  form: 'an e-mail address',
  check: refuseSecret,
};
/** In the form of the catalogue's names, which is another service's: what is granted need not stand in it yet. */
export const service = {
  max: 63,
  pattern: /^[a-z][a-z0-9._-]*$/,
  form: 'a service such as container-compute',
  check: refuseSecret,
};
