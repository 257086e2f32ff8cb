import { createLogger } from '../telemetry/logger.js';
import { loadConfig } from '../config/config.js';
import { API_DUTIES } from './duties.js';
import { type Program, startProgram } from './program.js';
import { sentencesOf } from './start-errors.js';

const program: Program = {
  service: 'tenancy',
  needs: ['STEWARD_DATABASE_URL', 'STEWARD_INTERNAL_KEY_FILE', 'STEWARD_KEYS_GRPC_URL', 'STEWARD_QUOTAS_GRPC_URL'],
  duties: API_DUTIES,
  serves: 'api',
  modules: () => [],
};

describe('a program', () => {
  it('names everything that it needs and has not, in a sentence each, before it opens anything', async () => {
    const error: unknown = await startProgram(program, loadConfig({}), createLogger({ level: 'silent' })).catch(
      (caught: unknown) => caught,
    );
    expect(sentencesOf(error)).toEqual([
      'ConfigError: The tenancy service needs STEWARD_DATABASE_URL: the PostgreSQL that all services share.',
      'ConfigError: The tenancy service needs STEWARD_INTERNAL_KEY_FILE: the secret with which the services know one another.',
      'ConfigError: The tenancy service needs STEWARD_KEYS_GRPC_URL: where the keys of callers are verified.',
      'ConfigError: The tenancy service needs STEWARD_QUOTAS_GRPC_URL: where it is told what a member uses.',
    ]);
  });
});
