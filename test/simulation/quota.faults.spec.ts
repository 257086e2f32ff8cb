import { seededRandom } from '#libs/testing';
import { plantedFaults } from './quota.faults.js';
import { faultyDomain } from './quota.mutant.js';
import { Simulation } from './quota.simulation.js';

const COMMANDS_MAX = 20_000;
const COMMANDS_PER_LIFE = 400;
const sound = { name: 'none', file: '', from: '', to: '' };

/** How many commands it took until the simulation saw something wrong; null if it never did. */
function commandsUntilFound(fault: typeof sound, random: () => number, commandsMax: number): number | null {
  const domain = faultyDomain(fault);
  for (let commands = 0; commands < commandsMax;) {
    const life = new Simulation(domain, random);
    try {
      life.run(COMMANDS_PER_LIFE);
    } catch {
      return commands + life.commands;
    }
    commands += life.commands;
  }
  return null;
}

describe('the simulation', () => {
  const { seed, random } = seededRandom();
  process.stdout.write(`quota.faults STEWARD_SEED=${seed}\n`);

  it('finds nothing where nothing is planted', () => {
    for (let lives = 0; lives < 5; lives += 1) new Simulation(faultyDomain(sound), random).run(COMMANDS_PER_LIFE);
  });

  it('is shown at least twenty faults', () => {
    expect(new Set(plantedFaults.map(({ name }) => name)).size).toBeGreaterThanOrEqual(20);
  });

  it.each(plantedFaults)('finds that $name', (fault) => {
    expect(commandsUntilFound(fault, random, COMMANDS_MAX)).not.toBeNull();
  });
});
