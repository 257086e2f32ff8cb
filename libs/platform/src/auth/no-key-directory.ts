import { Global, Injectable, Module } from '@nestjs/common';
import { KeyDirectory } from './credentials.js';

@Injectable()
class NoKeyDirectory extends KeyDirectory {
  override find(): undefined {
    return undefined;
  }
}

/** The guard's KeyDirectory in a service whose routes name no key, and which therefore follows none. */
@Global()
@Module({ providers: [{ provide: KeyDirectory, useClass: NoKeyDirectory }], exports: [KeyDirectory] })
export class NoKeyDirectoryModule {}
