// Builds prebuilds/<system>/freebsd_rss.node for all systems that install it without a compiler.
//
// Each addon is linked a second time, where every symbol must be in the system's libraries or in
// Node's headers; so one that cannot be loaded fails here. Then readelf(1) must find the right
// machine, and no libraries but the system's own.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { chosenSystems, compileAddon, folderOf, link, needZig } from './cross.mjs';
import { fail, nodeHeaders } from './sources.mjs';

const systems = chosenSystems(`Builds prebuilds/SYSTEM/freebsd_rss.node, with zig.

  npm run prebuild [-- SYSTEM...]`);

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));
needZig();

/** readelf(1)'s name of the machine, and the libraries that every such system has. */
const machines = { x64: 'X86-64', arm64: 'AArch64' };
const systemLibraries = {
  freebsd: /^lib(c\.so\.7|thr\.so\.3|m\.so\.5)$/,
  glibc: /^(lib(c|pthread|dl|m|rt)\.so\.\d|ld-linux-[\w-]+\.so\.\d)$/,
  musl: /^libc\.so$/,
};
/** C source that defines what Node's headers declare of Node-API and libuv. */
function nodeStub() {
  const names = new Set();
  for (const header of ['js_native_api.h', 'node_api.h', 'uv.h'])
    for (const [, name] of readFileSync(path.join(nodeHeaders(), header), 'utf8').matchAll(
      /\b((?:napi|node_api|uv)_\w+)\(/g,
    ))
      names.add(name);
  return [...names].map((name) => `extern "C" void ${name}() {}`).join('\n');
}

/** All run-time linkers accept the System V ABI; FreeBSD's also its own. */
function checkHeader(system, addon) {
  const text = execFileSync('readelf', ['-hd', addon], { encoding: 'utf8' });
  const [platform, architecture, library = platform] = system.split('-');
  const [, abi] = /OS\/ABI:\s+(.*)/.exec(text);
  if (abi !== 'UNIX - System V' && !(platform === 'freebsd' && /FreeBSD/.test(abi)))
    fail(`${addon}: built for the ABI ${abi}`);
  if (!/Type:\s+DYN/.test(text) || !text.includes(machines[architecture]))
    fail(`${addon} is no shared object for ${architecture}`);
  const needed = [...text.matchAll(/NEEDED.*\[(.*)\]/g)].map(([, name]) => name);
  const foreign = needed.filter((name) => !systemLibraries[library].test(name));
  if (needed.length === 0 || foreign.length > 0)
    fail(`${addon} needs ${foreign.join(', ') || 'no library'}`);
  return `${abi}, ${needed.join(', ')}`;
}

async function build(system) {
  const { platform, node } = await compileAddon(system);
  const objects = [...platform, ...node];
  const stub = `${folderOf(system)}/node.cc`;
  writeFileSync(stub, nodeStub());
  // The C++ library is linked statically: the process may have another one.
  const exports = `${folderOf(system)}/exports.map`;
  writeFileSync(exports, '{ global: napi_*; node_api_*; local: *; };\n');
  const libraries = ['-shared', '-lpthread', `-Wl,--version-script=${exports}`];
  const complete = `${folderOf(system)}/complete.node`;
  await link(system, [...libraries, '-Wl,-z,defs', ...objects, stub, '-o', complete]);
  const addon = `prebuilds/${system}/freebsd_rss.node`;
  rmSync(path.dirname(addon), { recursive: true, force: true });
  mkdirSync(path.dirname(addon), { recursive: true });
  await link(system, [...libraries, ...objects, '-o', addon]);
  console.log(`${addon}: ${statSync(addon).size} bytes, ${checkHeader(system, addon)}`);
}

for (const system of systems) await build(system);
