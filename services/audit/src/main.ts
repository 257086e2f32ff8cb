import 'reflect-metadata';
import { runService } from '#libs/platform';
import { auditProgram } from './audit.program.js';

await runService(auditProgram);
