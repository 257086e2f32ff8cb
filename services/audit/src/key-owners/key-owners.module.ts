import { Global, Inject, Module, type OnModuleInit } from '@nestjs/common';
import { IndexFollower } from '#libs/eventsourcing';
import { KeyDirectory } from '#libs/platform';
import { KeyOwners } from './key-owners.js';

/** The guard's KeyDirectory in a process without the keys service. */
@Global()
@Module({
  providers: [KeyOwners, { provide: KeyDirectory, useExisting: KeyOwners }],
  exports: [KeyDirectory],
})
export class KeyOwnersModule implements OnModuleInit {
  constructor(
    @Inject(IndexFollower) private readonly follower: IndexFollower,
    private readonly owners: KeyOwners,
  ) {}

  onModuleInit(): void {
    this.follower.register(this.owners);
  }
}
