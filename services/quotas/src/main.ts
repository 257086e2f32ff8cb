import 'reflect-metadata';
import { runService } from '#libs/platform';
import { quotasProgram } from './quotas.program.js';

await runService(quotasProgram);
