// freebsd-rss top, and the socket it reads from.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

import type { ServerSnapshot } from 'freebsd-rss';
import parsePrometheus from 'parse-prometheus-text-format';

import { skipWithout } from '../helpers/features.js';
import { RawClient, type Served, serveExample } from '../helpers/memcached.js';
import { soon, until } from '../helpers/wait.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rss-top-'));
const socket = path.join(folder, 'admin');
const run = promisify(execFile);
const top = async (...args: string[]) =>
  (await run(process.execPath, ['dist/cli/main.js', 'top', ...args, socket])).stdout;

describe('freebsd-rss top', () => {
  let server: Served;
  let asking: Promise<void>;
  let stopped = false;
  before(async () => {
    server = await serveExample('-t', '2', '-o', `admin=${socket}`);
    // Without a terminal it shows as many buckets as a screen holds.
    const isShown = async (client: RawClient) => {
      await client.ask('get k\r\n', 'END\r\n');
      const { buckets } = JSON.parse(await top('--json')) as { buckets: { requests: number }[] };
      return buckets.slice(0, 16).some(({ requests }) => requests > 0);
    };
    let client = new RawClient(server.port);
    while (!(await isShown(client))) {
      client.close();
      client = new RawClient(server.port);
    }
    asking = (async () => {
      while (!stopped) {
        await client.ask('get k\r\n', 'END\r\n');
        await setTimeout(1);
      }
      client.close();
    })();
  });
  after(async () => {
    stopped = true;
    await asking;
    assert.equal(await server.stop(), 0);
    assert.equal(existsSync(socket), false);
    rmSync(folder, { recursive: true });
  });

  it('its socket is for its owner alone', () => {
    assert.equal(statSync(socket).mode & 0o777, 0o600);
  });

  it('shows requests by bucket, on a screen of 80 columns and 24 lines', async () => {
    const lines = (await top('--count', '2')).trimEnd().split('\n');
    assert.ok(lines.length <= 2 * 24 && lines.every((line) => line.length < 80), lines.join('\n'));
    const head = lines.lastIndexOf(
      'bucket CPU wrk  conns  acc/s  req/s dgram/s misdir handed p99 us busy  share',
    );
    assert.ok(head > 0, lines.join('\n'));
    const busy = lines.slice(head + 1).filter((line) => line.endsWith(' #######'));
    assert.equal(busy.length, 1, 'one connection is one bucket');
    assert.ok(Number(busy[0]!.trim().split(/ +/)[5]) > 10);
  });

  it(
    'on a terminal draws over itself, and takes keys',
    { skip: skipWithout('terminal') },
    async () => {
      const top = `"${process.execPath}" dist/cli/main.js top ${socket}`;
      const command = `stty rows 24 cols 80; exec ${top}`;
      const terminal = spawn('script', ['-qefc', command, '/dev/null']);
      let output = '';
      terminal.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      const shown = async (text: string) => {
        while (!output.includes(text)) await once(terminal.stdout, 'data', soon());
      };
      await shown('workers, by bucket');
      terminal.stdin.write('s');
      await shown('workers, by load');
      terminal.stdin.write('q');
      assert.deepEqual(await once(terminal, 'exit', soon()), [0, null]);
      const home = '\x1b[1;1H\x1b[0J';
      const frames = output.split(home).slice(1);
      assert.ok(frames.length >= 2);
      for (const frame of frames) {
        const lines = frame.split('\r\n');
        assert.ok(lines.length <= 24 && lines.every((line) => line.length < 80), frame);
      }
    },
  );

  it('prints what Prometheus reads', async () => {
    const families = parsePrometheus(await top('--prometheus'));
    const requests = families.find(({ name }) => name === 'freebsd_rss_requests_total')!;
    assert.equal(requests.type, 'COUNTER');
    const sum = requests.metrics.reduce((total, { value }) => total + Number(value), 0);
    assert.ok(sum > 0);
    const { buckets } = JSON.parse(await top('--json')) as { buckets: { bucket: number }[] };
    assert.equal(requests.metrics.length, buckets.length);
    assert.deepEqual(
      requests.metrics.map(({ labels }) => labels!['bucket']),
      buckets.map(({ bucket }) => `${bucket}`),
    );
  });

  it(
    'leaves nothing open of those who ask in words',
    { skip: skipWithout('resident-memory') },
    async () => {
      const descriptors = () => readdirSync(`/proc/${server.child.pid}/fd`).length;
      const before = descriptors();
      for (let i = 0; i < 20; i++) {
        const asking = net.connect(socket);
        asking.write('stats\n');
        let answer = '';
        asking.on('data', (bytes) => (answer += bytes.toString()));
        await once(asking, 'close');
        assert.match(answer, /\}\n$/);
      }
      await until('their sockets are closed', () => descriptors() <= before);
    },
  );

  it('finds the socket of a process', async () => {
    const { pid } = server.child;
    const args = ['dist/cli/main.js', 'top', '--json', `${pid}`];
    const { stdout } = await run(process.execPath, args);
    assert.equal((JSON.parse(stdout) as { pid: number }).pid, pid);
    await assert.rejects(run(process.execPath, ['dist/cli/main.js', 'top', `${process.pid}`]), {
      code: 64,
      stderr: /has no admin socket/,
    });
  });

  it('how late event loops were', async () => {
    const delays = async () =>
      (JSON.parse(await top('--json')) as { workers: { loopDelayP99Us: number }[] }).workers.map(
        ({ loopDelayP99Us }) => loopDelayP99Us,
      );
    while ((await delays()).some((delay) => delay === 0)) await setTimeout(100);
    const families = parsePrometheus(await top('--prometheus'));
    const delay = families.find(({ name }) => name === 'freebsd_rss_loop_delay_p99_seconds')!;
    assert.equal(delay.type, 'GAUGE');
    assert.equal(delay.metrics.length, 2);
    assert.ok(delay.metrics.every(({ value }) => Number(value) > 0 && Number(value) < 60));
  });

  it('what the threads of workers have used', async () => {
    const workers = async () =>
      (JSON.parse(await top('--json')) as Pick<ServerSnapshot, 'workers'>).workers;
    for (const worker of await workers()) {
      assert.ok(worker.userCPUTime > 0 && worker.voluntaryContextSwitches > 0);
      assert.ok(worker.systemCPUTime >= 0 && worker.involuntaryContextSwitches >= 0);
      assert.ok(worker.loopUtilization >= 0 && worker.loopUtilization <= 1);
    }
    const families = parsePrometheus(await top('--prometheus'));
    const labels = (name: string) =>
      families
        .find((family) => family.name === `freebsd_rss_worker_${name}_total`)!
        .metrics.map(({ labels }) => `${labels!['worker']} ${labels!['mode'] ?? labels!['kind']}`);
    assert.deepEqual(labels('cpu_seconds'), ['0 user', '0 system', '1 user', '1 system']);
    assert.deepEqual(labels('context_switches').length, 4);
  });

  it('fails without a server', async () => {
    await assert.rejects(run(process.execPath, ['dist/cli/main.js', 'top', '/no/such/socket']), {
      code: 70,
      stderr: /ENOENT/,
    });
  });
});
