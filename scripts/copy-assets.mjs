// tsc emits only JavaScript; what the program loads beside its modules (.proto, .sql) is copied next to it.
import { cpSync, statSync } from 'node:fs';

const carried = /\.(proto|sql)$/;

for (const root of ['services', 'libs']) {
  cpSync(root, `dist/${root}`, {
    recursive: true,
    filter: (path) => statSync(path).isDirectory() || carried.test(path),
  });
}
