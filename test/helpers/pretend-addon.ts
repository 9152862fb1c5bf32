// Builds the addon with native/pretend in it.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { tupleWords, type FlowTuple } from '../../lib/rss/tuple.js';

const objects = 'build/Release/obj.target/freebsd_rss';
export const pretendedAddon = 'build/pretend/freebsd_rss.node';

/** The key in native/pretend/flow_ids.cc. */
export const pretendedKey = Uint8Array.from({ length: 40 }, (_, i) => (37 * i + 11) & 255);

/** Addresses and ports as a card hashes them. */
export function tupleBytes(flow: FlowTuple): Uint8Array {
  const words = tupleWords(flow);
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, i) => bytes.writeUInt32BE(word, i * 4));
  return bytes;
}

function run(command: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw error ?? new Error(`${command} ${args.join(' ')}: ${stderr}`);
}

/** What native/pretend replaces. */
const wrapped = [
  '_ZN3rss13GetKernelFlowEi',
  '_ZN3rss12ParseControlERK6msghdr',
  '_ZN3rss17BuildReplyControlEPKNS_13SocketAddressERS1_RKNS_10KernelFlowEPv',
];

/** Links the addon's objects, as the build has left them. */
export function buildPretendedAddon(): void {
  const system = process.platform === 'freebsd' ? 'freebsd' : 'linux';
  const folders = ['core', 'steering', 'platform/posix', `platform/${system}`];
  const compiled = folders
    .flatMap((folder) => readdirSync(`native/${folder}`).map((name) => `native/${folder}/${name}`))
    .filter((name) => name.endsWith('.cc'))
    .concat('native/addon.cc', 'build/units/engine.cc', 'build/units/bindings.cc')
    .map((name) => `${objects}/${name.replace(/cc$/, 'o')}`);
  const compiler = process.env['CXX'] ?? 'c++';
  const own = path.join(path.dirname(pretendedAddon), 'flow_ids.o');
  mkdirSync(path.dirname(own), { recursive: true });
  const flags = ['-std=c++17', '-O1', '-fPIC', '-fno-exceptions', '-Inative'];
  run(compiler, [...flags, '-c', 'native/pretend/flow_ids.cc', '-o', own]);
  const wrap = wrapped.map((name) => `-Wl,--wrap=${name}`);
  run(compiler, ['-shared', ...wrap, '-o', pretendedAddon, own, ...compiled, '-lrt']);
}
