import 'reflect-metadata';
import { runService } from '#libs/platform';
import { keysProgram } from './keys.program.js';

await runService(keysProgram);
