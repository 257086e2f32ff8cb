import { Module } from '@nestjs/common';
import { InternalCalls } from './internal-calls.js';
import { InternalDoor } from './internal-door.js';

/** What the processes of one installation say among themselves. StorageModule and TransportModule stand beside it. */
@Module({ providers: [InternalCalls, InternalDoor], exports: [InternalCalls, InternalDoor] })
export class InternalModule {}
