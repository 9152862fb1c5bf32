// Compiles and links everything native for FreeBSD 14, against FreeBSD's own headers and library
// stubs, with all warnings as errors.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { chosenSystems, compileAddon, compileFor, folderOf, link, needZig } from './cross.mjs';
import { fail, sources } from './sources.mjs';

const systems = chosenSystems(
  `Compiles and links everything native for FreeBSD 14, with zig.

  npm run check:freebsd [-- SYSTEM...]`,
  ['freebsd-x64', 'freebsd-arm64'],
);

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));
needZig();

/** A FreeBSD program names FreeBSD's run-time linker and C library. */
const isFreebsd = (file) =>
  ['/libexec/ld-elf.so.1', 'libc.so.7'].every((name) => readFileSync(file).includes(name));

for (const system of systems) {
  const { platform, node } = await compileAddon(system);
  const tests = await compileFor(system, sources('test'), ['-O0']);
  const program = `${folderOf(system)}/selftest`;
  await link(system, [...platform, ...tests, '-lpthread', '-o', program]);
  await link(system, ['-shared', ...platform, ...node, '-o', `${folderOf(system)}/addon.node`]);
  if (!isFreebsd(program)) fail(`${program} is not a FreeBSD program`);
  console.log(`${system}: addon and self-test compile and link`);
}
