import { projections } from '../../cli/src/session.js';
import { readModels } from './read-models.module.js';

describe('the projector', () => {
  it('runs every read model that the command line knows', () => {
    expect(readModels.map(({ name }) => name).sort()).toEqual(projections.map(({ name }) => name).sort());
  });
});
