import type { OpenedEvent } from '#libs/eventsourcing';
import { ServiceNames } from './service-names.js';

const set = (revision: number, service: string): OpenedEvent =>
  ({ stream: 'quotaCatalogue-platform', revision, type: 'CatalogueResourceSet', data: { service } }) as OpenedEvent;

describe('the services that somebody has no access to', () => {
  it('are those built in and those that operators added, less what was granted', () => {
    const names = new ServiceNames();
    const granted = ['virtual-compute'];
    expect(names.beside([])).toEqual(['container-compute', 'virtual-compute']);
    expect(names.beside(granted)).toEqual(['container-compute']);
    expect(names.apply(set(1, 'archive'))).toBe('applied');
    expect(names.beside(granted)).toEqual(['archive', 'container-compute']);
    expect(names.apply(set(1, 'archive'))).toBe('seen');
    expect(names.apply(set(3, 'later'))).toBe('gap');
  });

  it('are one list for one list of grants, so that asking again makes nothing anew', () => {
    const names = new ServiceNames();
    const granted = ['virtual-compute'];
    expect(names.beside(granted)).toBe(names.beside(granted));
    names.apply(set(1, 'container-compute'));
    expect(names.beside(granted)).toBe(names.beside(granted));
  });
});
