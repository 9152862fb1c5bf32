// Nothing fails silently: what is reported of workers that fail, where, and how often.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import os, { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { affinity, createServer, type RssServer, type ServerOptions } from 'freebsd-rss';

import { native } from '../../lib/native.js';
import type { Masks } from '../fixtures/mask-worker.js';
import { CpuGroup } from '../helpers/cpu-group.js';
import { noAffinity, skipWithout } from '../helpers/features.js';
import { inNamespace } from '../helpers/namespace.js';
import { harmVictim, inParallel, portOf, randomLoopback, report, request } from '../helpers/net.js';
import { firstOutput, limitMs, soon, until } from '../helpers/wait.js';

const host = '127.0.0.1';
const fixture = (name: string) => new URL(`../fixtures/${name}.js`, import.meta.url);

const folder = mkdtempSync(path.join(tmpdir(), 'rss-failures-'));
after(() => rmSync(folder, { recursive: true }));

/** A worker module that cannot be compiled with the rest of the tests. */
function moduleFile(name: string, lines: string[]): URL {
  const file = path.join(folder, name);
  writeFileSync(file, lines.join('\n'));
  return pathToFileURL(file);
}

function server(worker: URL, options: Partial<ServerOptions> = {}): RssServer {
  return createServer({ worker, tcp: { host }, workers: 2, ...options });
}

/** The error that listen() rejects with; its cause is the worker's. */
async function failure(worker: URL): Promise<Error & { code: string; cause: Error }> {
  const failing = server(worker);
  const reports: unknown[] = [];
  failing.on('warning', (warning) => reports.push(warning));
  failing.on('worker-exit', (exit) => reports.push(exit));
  const error = await failing.listen().then(
    () => assert.fail('it listens'),
    (reason: unknown) => reason as Error & { code: string; cause: Error },
  );
  assert.deepEqual(reports, [], 'the rejection is the only report');
  assert.equal(error.code, 'ERR_RSS_WORKER_EXITED');
  assert.match(error.message, /^worker [01] \(CPU \d+, buckets [\d ]+\) ended with code 1 before/);
  return error;
}

/** `under`: a command that runs another one. */
function plainServer(args: string[], env: NodeJS.ProcessEnv = {}, under: string[] = []) {
  const main = fileURLToPath(fixture('plain-server'));
  const [command, ...line] = [...under, process.execPath, main, ...args];
  return spawn(command!, line, {
    timeout: limitMs,
    env: { ...process.env, ...env },
  });
}

/**
 * Runs fixtures/plain-server.js and `work`, and waits until its stderr matches `expected`. Resolves
 * with all that it has written there until it ends.
 */
async function stderrOf(
  args: string[],
  expected: RegExp,
  work: (port: number) => unknown,
  env: NodeJS.ProcessEnv = {},
  under: string[] = [],
): Promise<string> {
  const child = plainServer(args, env, under);
  let written = '';
  child.stderr.on('data', (chunk: Buffer) => (written += chunk.toString()));
  const closed = once(child, 'close');
  try {
    await work(Number(await firstOutput(child)));
    await until(`stderr matches ${expected}`, () => expected.test(written), child);
  } finally {
    child.stdin.end();
  }
  await closed;
  return written;
}

describe('a worker that dies', () => {
  it('of an exception is reported on stderr, with everything', async () => {
    const where = /Error: broken handler\n {4}at .*http-throwing-worker\.js:\d+:\d+/;
    const said = await stderrOf(['http-throwing-worker'], where, (port) =>
      fetch(`http://${host}:${port}/`).catch(() => undefined),
    );
    assert.match(said, /worker \d \(CPU \d+, buckets [\d ]+\) ended with code 1/);
  });

  it('out of memory, too', async () => {
    const options = JSON.stringify({ resourceLimits: { maxOldGenerationSizeMb: 16 } });
    await stderrOf(
      ['greedy-worker', options],
      /worker \d \(CPU .*\n.*ERR_WORKER_OUT_OF_MEMORY/,
      (port) => fetch(`http://${host}:${port}/`).catch(() => undefined),
    );
  });

  it('by its own exit, too', async () => {
    await stderrOf(
      ['report-worker', '{"workers":2,"steering":"single","handoff":"always"}'],
      /worker 1 \(CPU .*\) ended with code 3/,
      (port) => harmVictim(port, 'exit'),
    );
  });

  it('is reported to the listener of worker-exit alone', async () => {
    const served = server(fixture('report-worker'), { steering: 'single', handoff: 'always' });
    await served.listen();
    const warnings: Error[] = [];
    const collect = (warning: Error) => warnings.push(warning);
    process.on('warning', collect);
    const exited = once(served, 'worker-exit', soon());
    await harmVictim(portOf(served), 'throw');
    await exited;
    await served.close({ timeout: 0 });
    process.off('warning', collect);
    assert.deepEqual(warnings, []);
  });
});

describe('a start that fails', () => {
  it('names file and line of a syntax error', async () => {
    const broken = ['', 'export default 1;', 'const let = 3;'];
    const { message, cause } = await failure(moduleFile('broken.mjs', broken));
    assert.match(message, /\(file:.*broken\.mjs:3\)$/);
    assert.match(cause.stack ?? '', /^file:.*broken\.mjs:3\nconst let = 3;\n/);
    const importing = await failure(moduleFile('importing.mjs', ["import './broken.mjs';"]));
    assert.match(importing.message, /\(file:.*broken\.mjs:3\)$/);
    const { cause: common } = await failure(moduleFile('broken.cjs', ['', 'const x = ;']));
    assert.match(common.stack ?? '', /broken\.cjs:2\nconst x = ;\n/);
  });

  it('leaves other errors as they are', async () => {
    const { cause } = await failure(moduleFile('parsing.mjs', ["JSON.parse('{');"]));
    assert.match(cause.stack ?? '', /^SyntaxError: .*\n(.*\n)*.*parsing\.mjs:1:6/);
    const thrown = await failure(fixture('throwing-worker'));
    assert.match(thrown.cause.stack ?? '', /^Error: start failed\n.*throwing-worker\.js/);
  });

  it('is aborted with the names of the workers that it waited for', async () => {
    const aborting = new AbortController();
    const starting = server(fixture('slow-start-worker'));
    starting.on('worker-online', () => aborting.abort());
    await assert.rejects(starting.listen({ signal: aborting.signal }), {
      name: 'AbortError',
      message: 'The operation was aborted: worker 1 had not started',
    });
  });
});

describe('a worker is named after 5 s', { concurrency: true }, () => {
  const endless = moduleFile('endless.mjs', ['await new Promise(() => {});']);
  for (const [what, worker, named] of [
    ['start() does not return', fixture('slow-start-worker'), /^worker 1 does not serve after 5 s/],
    ['its module does not finish', endless, /^workers? [01].* not serve after 5 s/],
  ] as const)
    it(`when ${what}`, async () => {
      const starting = server(worker);
      const listening = assert.rejects(starting.listen(), { code: 'ERR_RSS_CLOSED' });
      const [warning] = (await once(starting, 'warning', soon())) as [Error & { code: string }];
      assert.equal(warning.code, 'RSS_SLOW_START');
      assert.match(warning.message, named);
      await starting.close({ timeout: 0 });
      await listening;
    });
});

it('a CommonJS module that a compiler made is taken', async () => {
  const library = fileURLToPath(import.meta.resolve('freebsd-rss/worker'));
  const served = server(
    moduleFile('compiled.mjs', [
      `import { defineWorker } from ${JSON.stringify(library)};`,
      'export default { __esModule: true, default: defineWorker({ connection() {} }) };',
    ]),
  );
  await served.listen();
  await served.close({ timeout: 0 });
});

describe('a system that refuses to pin threads is warned about once', () => {
  const refusal = /Warning: workers are not pinned: sched_setaffinity EPERM/;
  const said = async (env: NodeJS.ProcessEnv, under: string[]) => {
    const text = await stderrOf(['report-worker'], refusal, () => undefined, env, under);
    assert.equal(text.split(refusal).length, 2, text);
  };

  it('when the addon says so', () =>
    said({ NODE_OPTIONS: `--import=${fixture('no-pinning').href}` }, []));

  it('when a filter of system calls does so', { skip: skipWithout('seccomp') }, () =>
    said({}, ['python3', noAffinity]),
  );
});

it('CPUs without buckets are listed', async (t) => {
  t.mock.method(native, 'processCpus', () => Array.from({ length: 200 }, (_, cpu) => cpu));
  const large = server(fixture('report-worker'), { workers: 'cpu', steering: 'single' });
  const warnings: string[] = [];
  large.on('warning', (warning) => warnings.push(warning.message));
  const bound = () => {
    throw new Error('this host has fewer CPUs');
  };
  await assert.rejects(large.listen({ bound }), { message: 'this host has fewer CPUs' });
  assert.deepEqual(warnings, ['CPUs 128-199 have no worker: there are 128 buckets']);
});

it(
  'a worker that loses its CPU moves, and its death does not end the server',
  { skip: skipWithout('cpuset') || skipWithout('two-cpus') },
  async (t) => {
    const group = CpuGroup.make();
    assert.ok(group !== undefined);
    t.after(() => group.remove());
    const [left, lost] = affinity.process();
    group.allow([left!, lost!]);
    const options = { workers: 2, steering: 'single', handoff: 'always', restartLimit: 1 };
    const child = plainServer(['report-worker', JSON.stringify(options)]);
    group.add(child.pid!);
    const closed = once(child, 'close', soon());
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const port = Number(await firstOutput(child));
    group.allow([left!]);
    await until('it moves', () => said.includes(`worker 1 has moved to CPU ${left}: `), child);
    assert.match(said, /RSS_CPU_LOST/);
    await harmVictim(port, 'exit');
    const served = async () => {
      const { report: by } = await report({ host, port, localAddress: randomLoopback() });
      return by.workerIndex === 1 && by.generation === 1;
    };
    await until('its successor serves', served, child);
    child.stdin.end();
    assert.deepEqual(await closed, [0, null]);
  },
);

it('a host that does not list its interfaces is served, and the reason is known', async (t) => {
  t.mock.method(os, 'networkInterfaces', () => {
    throw new Error('uv_interface_addresses returned 97');
  });
  syncBuiltinESMExports();
  const served = server(fixture('report-worker'));
  try {
    await served.listen();
    if (process.platform === 'linux') assert.match(served.steeringReason, /addresses returned 97/);
    await report({ host, port: portOf(served) });
  } finally {
    t.mock.restoreAll();
    syncBuiltinESMExports();
    await served.close({ timeout: 0 });
  }
});

describe('a host that hides', { skip: skipWithout('mountns') }, () => {
  for (const [directory, missing] of [
    ['/sys', '/sys/class/net'],
    ['/proc', '/proc/irq'],
  ] as const)
    it(`${directory} is served, and the reason is known`, () => {
      const hide = `mount -t tmpfs none ${directory}`;
      const { steering, reason } = inNamespace(hide, 'hidden-host', 'mount');
      assert.equal(steering, 'bpf-toeplitz');
      const unknown = `the CPUs that process packets are unknown: ENOENT: `;
      assert.ok(String(reason).includes(unknown), String(reason));
      assert.ok(String(reason).includes(missing), String(reason));
    });
});

it('the process and its workers survive closed stdout and stderr', async () => {
  const child = plainServer(['talking-worker']);
  const exited = once(child, 'exit', soon());
  const [port] = (await once(child.stdout, 'data', soon())) as [Buffer];
  child.stdout.destroy();
  child.stderr.destroy();
  for (let i = 0; i < 20; i++)
    assert.equal((await request({ host, port: Number(port) })).text, 'served\n');
  child.stdin.end();
  assert.deepEqual(await exited, [0, null]);
});

describe('the CPUs of a worker', () => {
  const masksOf = async (options: string, env: NodeJS.ProcessEnv = {}): Promise<Masks[]> => {
    const child = plainServer(['mask-worker', options], env);
    const exited = once(child, 'exit', soon());
    const [port] = (await once(child.stdout, 'data', soon())) as [Buffer];
    const answers = await inParallel(4, 1, () => request({ host, port: Number(port) }));
    child.stdin.end();
    await exited;
    return answers.map(({ text }) => JSON.parse(text) as Masks);
  };
  const all = affinity.process();

  it('are not those of its child processes and of libuv’s threads', async () => {
    const procfs = existsSync('/proc/thread-self');
    // Node's loader of modules may be the first that uses the pool.
    const listing = moduleFile('tasks.cjs', [
      "process.env.FIRST_TASKS ??= require('node:fs').readdirSync('/proc/self/task').join();",
    ]);
    const env = procfs ? { NODE_OPTIONS: `--require=${fileURLToPath(listing)}` } : {};
    for (const { own, child, pool } of await masksOf('{"workers":1}', env)) {
      assert.equal(own.length, 1);
      assert.deepEqual(child, all);
      assert.ok(!procfs || pool.length >= 4, `${pool.length} threads`);
      for (const mask of pool) assert.deepEqual(mask, all);
    }
  });

  it('are all with pin: false', async () => {
    for (const { own } of await masksOf('{"pin":false}')) assert.deepEqual(own, all);
  });

  it('are those of the option "cpus"', async () => {
    const last = all.at(-1)!;
    const served = createServer({ worker: fixture('report-worker'), tcp: { host }, cpus: [last] });
    await served.listen();
    assert.deepEqual(
      served.workers.map(({ cpu }) => cpu),
      [last],
    );
    await served.close({ timeout: 0 });
    const other = createServer({ worker: fixture('report-worker'), cpus: `${last},${last + 1}` });
    assert.throws(() => other.plan(), { message: new RegExp(`CPU ${last + 1}, and this process`) });
  });
});

it(
  'a second server of the process takes another CPU',
  { skip: skipWithout('two-cpus') },
  async () => {
    const servers = [1, 2].map(() => server(fixture('report-worker'), { workers: 1 }));
    for (const one of servers) await one.listen();
    const cpus = servers.map(({ workers }) => workers[0]?.cpu);
    assert.notEqual(cpus[0], cpus[1]);
    for (const one of servers) await one.close({ timeout: 0 });
  },
);

it('bound() runs before the workers, and its error ends the start', async () => {
  const served = server(fixture('report-worker'));
  const events: string[] = [];
  served.on('worker-online', () => events.push('online'));
  await served.listen({ bound: () => events.push('bound') });
  assert.deepEqual(events, ['bound', 'online', 'online']);
  await served.close({ timeout: 0 });
  const failing = server(fixture('report-worker'));
  const bound = () => {
    throw new Error('no such user');
  };
  await assert.rejects(failing.listen({ bound }), { message: 'no such user' });
});
