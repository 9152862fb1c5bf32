// Skips tests that need something this machine lacks, with its name. Tests fail instead when
// RSS_REQUIRE lists it, as .ci/run does.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

import { affinity, capabilities, openListener, type Steering } from 'freebsd-rss';

import { findChromium } from './chromium.js';
import { canCool } from './cold-file.js';
import { CpuGroup } from './cpu-group.js';
import { debianSource } from './debian.js';

const required = new Set((process.env['RSS_REQUIRE'] ?? '').split(',').filter(Boolean));
const { platform, ipv6, listenBucket, reusePortBpf, reusePortLb } = capabilities();
const linux = platform === 'linux';

export const steerings: Steering[] = [
  'listen-bucket',
  'reuseport-lb',
  'bpf-toeplitz',
  'bpf-cpu',
  'single',
];

function isLocal(host: string): boolean {
  try {
    openListener({ host }).close();
    return true;
  } catch {
    return false;
  }
}
/** Whether every address of 127/8 belongs to this host. */
export const loopbackNet = isLocal('127.1.2.3');

/** Runs a command that may not pin threads. */
export const noAffinity = 'test/fixtures/no-affinity.py';

/** Debian's place for it. */
export const memcachedTool = '/usr/share/memcached/scripts/memcached-tool';

/** What TCP connections can use on Linux. */
function congestionControls(): string[] {
  const file = '/proc/sys/net/ipv4/tcp_available_congestion_control';
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split(' ') : [];
}

const present: Record<string, () => boolean> = {
  // The memcached test suite.
  'memcached-source': () => debianSource('memcached') !== undefined,
  'memcached-tool': () => existsSync(memcachedTool),
  // Clients of memcached: see .ci/run.
  node: () => true,
  'python-clients': () =>
    spawnSync('build/clients/bin/python', ['-c', 'import bmemcached']).status === 0,
  'php-memcached': () => spawnSync('php', ['--re', 'memcached']).status === 0,
  dalli: () => spawnSync('ruby', ['-e', 'require "dalli"']).status === 0,
  spymemcached: () => existsSync('build/clients/spymemcached.jar'),
  'listen-bucket': () => listenBucket.available,
  'reuseport-lb': () => linux || (reusePortLb.available && !listenBucket.available),
  'bpf-toeplitz': () => reusePortBpf.available,
  'bpf-cpu': () => reusePortBpf.available,
  single: () => true,
  'two-cpus': () => affinity.process().length >= 2,
  // All of 127/8. FreeBSD has only 127.0.0.1 unless lo0 has aliases.
  'loopback-net': () => loopbackNet,
  ipv6: () => ipv6.available,
  // procfs(5), and no sanitizer, which keeps freed memory.
  'resident-memory': () =>
    existsSync('/proc/self/status') && process.env['ASAN_OPTIONS'] === undefined,
  // Which pages of this process are in memory: Linux's procfs.
  pagemap: () => existsSync('/proc/self/pagemap'),
  // setpriv(1) of util-linux takes a capability from a program that root starts.
  setpriv: () => process.geteuid?.() === 0 && spawnSync('setpriv', ['--version']).status === 0,
  // script(1) of util-linux gives a program a terminal.
  terminal: () => linux && spawnSync('script', ['--version']).status === 0,
  // Files on a disk: dd(1) of coreutils and fincore(1) of util-linux.
  'cold-files': () => linux && canCool(),
  // A control group with CPUs of its own.
  cpuset: () => {
    const group = CpuGroup.make();
    group?.remove();
    return group !== undefined;
  },
  chromium: () => findChromium() !== undefined,
  root: () => process.geteuid?.() === 0,
  // The checkout, as node-gyp has built it.
  'addon-objects': () =>
    existsSync('native/pretend') &&
    existsSync('build/Release/obj.target/freebsd_rss/native/addon.o'),
  // zig has the headers and libraries of other systems: pip install ziglang.
  zig: () => {
    const [command, ...args] = (process.env['ZIG'] ?? 'python3 -m ziglang').split(' ');
    return spawnSync(command!, [...args, 'version']).status === 0;
  },
  // A mount namespace: unshare(1), mount(8), and the privilege to use them.
  mountns: () =>
    linux && spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/sys']).status === 0,
  // A filter of system calls: python3 installs one.
  seccomp: () => linux && spawnSync('python3', [noAffinity, 'true']).status === 0,
  cubic: () => congestionControls().includes('cubic'),
  bbr: () => congestionControls().includes('bbr'),
  // An interface that counts packets of its queues.
  ifb: () => linux && spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'type', 'ifb']).status === 0,
  // A network namespace with a slow link: unshare(1), tc(8), and the privilege to use them.
  netns: () =>
    linux &&
    spawnSync('unshare', [
      '-n',
      'tc',
      'qdisc',
      'add',
      'dev',
      'lo',
      'root',
      'tbf',
      'rate',
      '1mbit',
      'burst',
      '3000',
      'limit',
      '3000',
    ]).status === 0,
};

/** The `skip` option of a test that needs this steering, address family or command. */
export function skipWithout(feature: string): string | false {
  const has =
    present[feature]?.() ??
    spawnSync(feature, ['--version'], { stdio: 'ignore' }).error === undefined;
  if (has) return false;
  if (required.has(feature)) throw new Error(`${feature} is required, and missing`);
  return `${feature} is missing`;
}
