import 'reflect-metadata';
import { runService } from '#libs/platform';
import { projectorProgram } from './projector.program.js';

await runService(projectorProgram);
