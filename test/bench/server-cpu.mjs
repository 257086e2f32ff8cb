// What a server takes of the CPU: unlike the wall clock it is hardly changed by noisy neighbours.
import { readdirSync, readFileSync } from 'node:fs';

/** On-CPU nanoseconds of all threads of a process; undefined where the kernel does not tell. */
export function cpuNs(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]))
      .reduce((sum, ns) => sum + ns, 0);
  } catch {
    return undefined;
  }
}

/** The process ids that `pid` has started, and they in turn. */
function descendants(pid) {
  const children = new Map();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)))
    try {
      // The name of the program stands in parentheses and may hold anything; the parent is the second field after it.
      const [, parent] = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1).split(' ');
      children.set(parent, [...(children.get(parent) ?? []), name]);
    } catch {
      // It has ended meanwhile.
    }
  const found = [];
  for (
    let next = children.get(String(pid)) ?? [];
    next.length > 0;
    next = next.flatMap((one) => children.get(one) ?? [])
  )
    found.push(...next);
  return found;
}

/** By process id, of `pid` and all below it; undefined where the kernel does not tell. */
export function treeCpuNs(pid) {
  if (cpuNs(pid) === undefined) return undefined;
  return new Map([String(pid), ...descendants(pid)].map((one) => [one, cpuNs(one) ?? 0]));
}

/** Nanoseconds between two looks at a tree; a process that ended between them is left out. */
export const spentNs = (before, after) =>
  [...after].reduce((sum, [pid, ns]) => sum + Math.max(0, ns - (before.get(pid) ?? 0)), 0);
