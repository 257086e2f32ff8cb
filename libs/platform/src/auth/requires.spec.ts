import { Controller, Delete, Get, Module, Post } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { assertEveryRouteHasPolicy, Authenticated, Open, requirementOf, Requires } from './requires.js';

@Controller('v1/keys')
class SoundController {
  @Get()
  @Requires('keys:read', 'list')
  list(): void {
    return;
  }

  @Delete(':keyId')
  @Requires('keys:delete', 'key')
  delete(): void {
    return;
  }

  @Get('whoami')
  @Authenticated()
  whoami(): void {
    return;
  }

  @Get('open')
  @Open()
  open(): void {
    return;
  }

  notARoute(): void {
    return;
  }
}

@Controller('v1/projects/:projectId/members')
@Requires('members:read', 'project')
class ByClassController {
  @Get()
  list(): void {
    return;
  }

  @Post(':userId')
  @Requires('members:write', 'member')
  write(): void {
    return;
  }
}

@Controller('v1/bare')
class BareController {
  @Get()
  forgotten(): void {
    return;
  }

  @Get(':keyIdentifier')
  @Requires('keys:read', 'key')
  misnamed(): void {
    return;
  }
}

async function boot(...controllers: (new () => object)[]): Promise<void> {
  @Module({ controllers })
  class InnerModule {}
  const module = await Test.createTestingModule({ imports: [InnerModule] }).compile();
  assertEveryRouteHasPolicy(module);
}

describe('a route', () => {
  it('boots with a policy of its own or of its class', async () => {
    await expect(boot(SoundController, ByClassController)).resolves.toBeUndefined();
  });

  it('without a policy does not boot, and is named', async () => {
    await expect(boot(SoundController, BareController)).rejects.toThrow(
      /BareController\.forgotten has neither @Requires, @Authenticated nor @Open/,
    );
  });

  it('whose path lacks what its policy needs does not boot', async () => {
    await expect(boot(BareController)).rejects.toThrow(
      /BareController\.misnamed names a key but its path has no :keyId/,
    );
  });

  it('is under the policy nearest to it', () => {
    const { list, write } = Object.getOwnPropertyDescriptors(ByClassController.prototype);
    expect(requirementOf(list.value as object, ByClassController)).toEqual({
      action: 'members:read',
      target: 'project',
    });
    expect(requirementOf(write.value as object, ByClassController)).toMatchObject({ action: 'members:write' });
  });
});
