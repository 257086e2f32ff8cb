import { KEYS_DUTIES, type Program } from '#libs/platform';
import { KeyUsageModule } from './key-usage.module.js';
import { KeysModule } from './keys.module.js';

/** The keys service by itself: the only one that holds the peppers. */
export const keysProgram: Program = {
  service: 'keys',
  needs: ['STEWARD_DATABASE_URL', 'STEWARD_INTERNAL_KEY_FILE'],
  duties: KEYS_DUTIES,
  serves: 'api',
  modules: ({ config: { kafka } }) => [
    kafka === undefined ? KeyUsageModule.toTables() : KeyUsageModule.toKafka(kafka),
    KeysModule,
  ],
};
