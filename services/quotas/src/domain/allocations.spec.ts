import {
  after,
  allocate,
  commit,
  cpu,
  free,
  freeRef,
  given,
  gpu,
  id,
  idAt,
  limit,
  of,
  reserve,
  resize,
  standings,
  type Step,
  T0,
} from '../testing/given-quota.js';

const four: Step = [T0, limit(of('alice'), 4000)];
const vm: Step = [T0, allocate(1, 'alice', [gpu(3000)], { resourceRef: 'vm/1' })];

describe('an allocation', () => {
  it('is recorded at once within the limits, and a denial tells all violations', () => {
    given(four)
      .when(T0, vm[1])
      .gives({
        type: 'AllocationRecorded',
        data: {
          allocationId: id(1),
          userId: 'alice',
          items: [gpu(3000)],
          mode: 'ENFORCE',
          resourceRef: 'vm/1',
          bodyHash: 'hash 1',
        },
      });
    given(four, vm)
      .when(T0, allocate(2, 'alice', [gpu(1001)]))
      .isRefused('QUOTA_EXCEEDED', { violations: [{ scope: of('alice'), used: 3000, available: 1000 }] });
    given(four, vm)
      .when(T0, allocate(2, 'alice', [gpu(1001)], { mode: 'FORCE' }))
      .gives('AllocationRecorded', 'OverQuotaEntered');
    given(four, vm)
      .when(T0, allocate(2, 'alice', [gpu(1000)], { mode: 'CHECK_ONLY' }))
      .answers({ kind: 'check', allowed: true, fits: 1 });
  });

  it('is told again for the same request, and its id and resource are taken for any other', () => {
    given(four, vm).when(T0, vm[1]).answers({ replayed: true, status: 'live' });
    given(four, vm, [T0, free(1)])
      .when(T0, vm[1])
      .answers({ replayed: true, status: 'released' });
    given(four, vm)
      .when(T0, allocate(1, 'alice', [gpu(1)], { bodyHash: 'other' }))
      .isRefused('IDEMPOTENCY_MISMATCH');
    given([T0, reserve(1, 'alice', [gpu(1)])], [T0, commit(1)])
      .when(T0, allocate(1, 'alice', [gpu(1)]))
      .isRefused('IDEMPOTENCY_MISMATCH');
    given(four, vm)
      .when(T0, allocate(2, 'alice', [gpu(1)], { resourceRef: 'vm/1' }))
      .isRefused('RESOURCE_REF_TAKEN');
  });

  it('is refused to who may not have it', () => {
    given()
      .when(T0, allocate(1, 'alice', [gpu(1)], { standing: standings.suspended }))
      .isRefused('MEMBER_SUSPENDED');
    given()
      .when(after(90_000), allocate(1, 'alice', [gpu(1)]))
      .isRefused('ID_TOO_OLD');
  });

  it('grows within the limits, shrinks always, and may change its resources', () => {
    given(four, vm)
      .when(T0, resize(1, [gpu(4000)]))
      .gives('AllocationResized');
    given(four, vm)
      .when(T0, resize(1, [gpu(4001)]))
      .isRefused('QUOTA_EXCEEDED', { violations: [{ requested: 1001, available: 1000 }] });
    given(four, vm, [T0, limit(of('alice'), 10, { force: true })])
      .when(T0, resize(1, [gpu(2999)]))
      .gives('AllocationResized');
    given(four, vm)
      .when(T0, resize(1, [cpu(5)]))
      .gives({
        type: 'AllocationResized',
        data: { allocationId: id(1), userId: 'alice', before: [gpu(3000)], after: [cpu(5)] },
      });
    given(four, vm)
      .when(T0, resize(1, [gpu(4001)], { mode: 'FORCE' }))
      .gives('AllocationResized', 'OverQuotaEntered');
    given(four, vm)
      .when(T0, resize(1, [gpu(4001)], { mode: 'CHECK_ONLY' }))
      .answers({ allowed: false });
    given(four, vm)
      .when(T0, resize(1, [gpu(3000)]))
      .changesNothing();
    given(four, vm)
      .when(T0, resize(1, [gpu(3001)], { standing: standings.suspended }))
      .isRefused('MEMBER_SUSPENDED');
    given(four, vm)
      .when(T0, resize(1, [gpu(3001)], { standing: standings.closed, mode: 'FORCE' }))
      .isRefused('PROJECT_CLOSED');
    for (const standing of [standings.suspended, standings.closed])
      given(four, vm)
        .when(T0, resize(1, [gpu(2999)], { standing }))
        .gives('AllocationResized');
  });

  it('is released by id or by resource, once; again it is told the same', () => {
    given(four, vm).when(T0, free(1)).gives('AllocationReleased');
    given(four, vm).when(T0, freeRef('vm/1')).gives('AllocationReleased');
    given(four, vm, [T0, free(1)])
      .when(T0, free(1))
      .answers({ replayed: true, status: 'released' });
    given(four, vm, [T0, free(1)])
      .when(T0, freeRef('vm/1'))
      .changesNothing();
  });

  it('that is unknown, released or a reservation is not found', () => {
    given(four).when(T0, free(1)).isRefused('ALLOCATION_NOT_FOUND');
    given(four).when(T0, freeRef('vm/1')).isRefused('ALLOCATION_NOT_FOUND');
    given(four)
      .when(T0, resize(1, [gpu(1)]))
      .isRefused('ALLOCATION_NOT_FOUND');
    given(four, vm, [T0, free(1)])
      .when(T0, resize(1, [gpu(1)]))
      .isRefused('ALLOCATION_NOT_FOUND');
    given([T0, reserve(1, 'alice', [gpu(1)])])
      .when(T0, free(1))
      .isRefused('ALLOCATION_NOT_FOUND');
  });

  it('is forgotten a day after its release, and its id is never granted again', () => {
    const later = after(86_400);
    const other: Step = [later, allocate(2, 'bob', [gpu(1)], { id: idAt(later, 2) })];
    given(four, vm, [T0, free(1)], other)
      .when(later, free(1))
      .isRefused('ALLOCATION_NOT_FOUND');
    given(four, vm, [T0, free(1)], other)
      .when(later, vm[1])
      .isRefused('ID_TOO_OLD');
  });
});
