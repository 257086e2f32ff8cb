import { ownerAmong } from './owner-among.js';

const projects = Array.from({ length: 900 }, (_, n) => `GOV${n}`);
const three = ['a:1', 'b:1', 'c:1'];

describe('the owner of a project', () => {
  it('is the same for all who know the same addresses, in any order', () => {
    for (const project of projects) expect(ownerAmong(project, three)).toBe(ownerAmong(project, [...three].reverse()));
  });

  it('is each of them about as often', () => {
    for (const address of three) {
      const owned = projects.filter((project) => ownerAmong(project, three) === address);
      expect(owned.length).toBeGreaterThan(230);
    }
  });

  it('changes only for the projects of one who goes', () => {
    for (const project of projects) {
      const before = ownerAmong(project, three);
      if (before !== 'b:1') expect(ownerAmong(project, ['a:1', 'c:1'])).toBe(before);
    }
  });

  it('is nobody among none', () => {
    expect(ownerAmong('GOV1', [])).toBeUndefined();
  });
});
