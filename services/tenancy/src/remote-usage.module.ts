import { Global, Module } from '@nestjs/common';
import { InternalModule, MemberUsage } from '#libs/platform';
import { RemoteMemberUsage } from './remote-member-usage.js';

/** MemberUsage of a quotas service that runs apart. */
@Global()
@Module({
  imports: [InternalModule],
  providers: [{ provide: MemberUsage, useClass: RemoteMemberUsage }],
  exports: [MemberUsage],
})
export class RemoteUsageModule {}
