import { type IpRules, compileIpRules } from '../ip-ranges.js';

/** What a key was given beside its owner and its times. Many keys are given the same, so it stands once for all of them. */
export interface KeyProfile {
  readonly environment: string;
  /** null = all of the owner's; [] = none. */
  readonly scopes: readonly string[] | null;
  readonly audiences: readonly string[];
  readonly ipAllow: readonly string[];
  readonly ipDeny: readonly string[];
}

/** With what a verification would else make anew every time. */
export interface CompiledProfile extends KeyProfile {
  readonly name: string;
  readonly ipRules: IpRules;
  readonly scopesJson: string;
  readonly environmentJson: string;
}

export const nameOfProfile = ({ environment, scopes, audiences, ipAllow, ipDeny }: KeyProfile): string =>
  JSON.stringify([environment, scopes, audiences, ipAllow, ipDeny]);

export function compileProfile(profile: KeyProfile, name: string): CompiledProfile {
  const { environment, scopes, audiences, ipAllow, ipDeny } = profile;
  return {
    environment,
    scopes,
    audiences,
    ipAllow,
    ipDeny,
    name,
    ipRules: compileIpRules(ipAllow, ipDeny),
    scopesJson: JSON.stringify(scopes),
    environmentJson: JSON.stringify(environment),
  };
}
