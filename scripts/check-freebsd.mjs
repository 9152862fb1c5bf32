// Compiles and links everything native for FreeBSD 14, x86_64 and aarch64, against FreeBSD's own
// headers and library stubs, with all warnings as errors.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { compileAll, link, needZig } from './cross.mjs';
import { addonFlags, fail, nodeSources, platformSources, sources } from './sources.mjs';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));
needZig();

const shared = platformSources('freebsd');
const addon = nodeSources();
const warnings = ['-Wall', '-Wextra', '-Werror'];
const flags = ['-std=c++17', '-O1', '-fPIC', '-fno-exceptions', '-Inative', ...warnings];

/** A FreeBSD program names FreeBSD's run-time linker and C library. */
const isFreebsd = (file) =>
  ['/libexec/ld-elf.so.1', 'libc.so.7'].every((name) => readFileSync(file).includes(name));

for (const architecture of ['x86_64', 'aarch64']) {
  const target = ['-target', `${architecture}-freebsd.14.0`];
  const directory = `build/freebsd-${architecture}`;
  const compiled = (files, own = []) =>
    compileAll(files, directory, () => [...target, ...flags, ...own]);
  const common = await compiled(shared);
  const tests = await compiled(sources('test'));
  const program = `${directory}/selftest`;
  await link([...target, ...common, ...tests, '-lpthread', '-o', program]);
  const bound = await compiled(addon, addonFlags());
  await link([...target, '-shared', ...common, ...bound, '-o', `${directory}/freebsd_rss.node`]);
  if (!isFreebsd(program)) fail(`${program} is not a FreeBSD program`);
  console.log(`freebsd 14 ${architecture}: addon and self-test compile and link`);
}
