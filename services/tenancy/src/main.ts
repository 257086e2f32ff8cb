import 'reflect-metadata';
import { runService } from '#libs/platform';
import { tenancyProgram } from './tenancy.program.js';

await runService(tenancyProgram);
