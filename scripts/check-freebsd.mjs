// Compiles and links everything native for FreeBSD 14, x86_64 and aarch64, against FreeBSD's own
// headers and library stubs: the ones that zig carries (pip install ziglang). ZIG names another zig.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const zig = (process.env.ZIG ?? 'python3 -m ziglang').split(' ');
if (spawnSync(zig[0], [...zig.slice(1), 'version'], { stdio: 'ignore' }).status !== 0) {
  console.error('check:freebsd needs zig, which carries FreeBSD headers: pip install ziglang');
  process.exit(1);
}

const nodeHeaders = [
  path.dirname(path.dirname(realpathSync(process.execPath))),
  '/usr',
  '/usr/local',
]
  .map((prefix) => path.join(prefix, 'include/node'))
  .find((directory) => existsSync(path.join(directory, 'node_api.h')));
if (nodeHeaders === undefined) {
  console.error("check:freebsd needs Node's headers (include/node) on this machine");
  process.exit(1);
}
const addonApi = createRequire(import.meta.url)('node-addon-api').include_dir;

const sources = (...folders) =>
  folders.flatMap((folder) =>
    readdirSync(`native/${folder}`)
      .filter((name) => name.endsWith('.cc'))
      .map((name) => `native/${folder}/${name}`),
  );
const shared = sources('core', 'platform/posix', 'platform/freebsd');
const addon = [...sources('engine', 'bindings'), 'native/addon.cc'];
const selftest = sources('test');

const warnings = ['-Wall', '-Wextra', '-Werror'];
const flags = ['-std=c++17', '-O1', '-fPIC', '-fno-exceptions', '-Inative', ...warnings];
const addonFlags = [
  '-isystem',
  nodeHeaders,
  '-isystem',
  addonApi,
  '-DNAPI_VERSION=8',
  '-DNAPI_DISABLE_CPP_EXCEPTIONS',
  '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
];

function compile(args) {
  return new Promise((resolve) => {
    const child = spawn(zig[0], [...zig.slice(1), 'c++', ...args], { stdio: 'inherit' });
    child.on('close', resolve);
  });
}

async function each(items, work) {
  const queue = [...items];
  let failed = false;
  const lane = async () => {
    while (queue.length > 0) failed = (await work(queue.shift())) !== 0 || failed;
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return !failed;
}

/** FreeBSD's run-time linker and C library are named in what is linked for it. */
const isFreebsd = (file) =>
  ['/libexec/ld-elf.so.1', 'libc.so.7'].every((name) => readFileSync(file).includes(name));

for (const architecture of ['x86_64', 'aarch64']) {
  const target = ['-target', `${architecture}-freebsd.14.0`];
  const directory = `build/freebsd-${architecture}`;
  mkdirSync(directory, { recursive: true });
  const object = (source) => path.join(directory, source.replaceAll('/', '_').replace(/cc$/, 'o'));
  const compiled = await each([...shared, ...addon, ...selftest], (source) =>
    compile([
      ...target,
      ...flags,
      ...(addon.includes(source) ? addonFlags : []),
      '-c',
      source,
      '-o',
      object(source),
    ]),
  );
  if (!compiled) process.exit(1);
  const program = `${directory}/selftest`;
  const library = `${directory}/freebsd_rss.node`;
  const linked =
    (await compile([
      ...target,
      ...[...shared, ...selftest].map(object),
      '-lpthread',
      '-o',
      program,
    ])) === 0 &&
    (await compile([...target, '-shared', ...[...shared, ...addon].map(object), '-o', library])) ===
      0;
  if (!linked) process.exit(1);
  if (!isFreebsd(program)) {
    console.error(`${program} is not a FreeBSD program`);
    process.exit(1);
  }
  console.log(`freebsd 14 ${architecture}: addon and self-test compile and link`);
}
