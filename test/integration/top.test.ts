// freebsd-rss top, and the socket it reads from.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

import type { ServerSnapshot } from 'freebsd-rss';
import parsePrometheus from 'parse-prometheus-text-format';

import { skipWithout } from '../helpers/features.js';
import { RawClient, type Served, serveExample } from '../helpers/memcached.js';
import { firstOutput, soon, until } from '../helpers/wait.js';

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
      await shown('s sorts; ← and → go back and forth');
      while (!output.includes(' s ago')) {
        terminal.stdin.write('\x1b[D');
        await once(terminal.stdout, 'data', soon());
      }
      terminal.stdin.write('\x1b[F');
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

  it('prints what the memcached example counts', async () => {
    const client = new RawClient(server.port);
    await client.ask('set metrics 0 0 3\r\nabc\r\n', 'STORED\r\n');
    await client.ask('get metrics\r\n', 'END\r\n');
    client.close();
    const families = parsePrometheus(await top('--prometheus'));
    const value = (name: string) =>
      Number(families.find((family) => family.name === `memcached_${name}`)!.metrics[0]!.value);
    assert.ok(value('get_hits_total') > 0 && value('get_misses_total') > 0);
    assert.equal(value('evictions_total'), 0);
    assert.ok(value('bytes') > 3 && value('bytes') < value('limit_maxbytes'));
    assert.equal(value('curr_items'), 1);
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

  it('serves a page, metrics and health to browsers', async () => {
    const args = ['dist/cli/main.js', 'top', '--http', '0', socket];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const url = (await firstOutput(child)).trim();
      assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
      const get = async (name: string, method = 'GET') => {
        const answer = await fetch(`${url}${name}`, { method });
        return { status: answer.status, body: await answer.text() };
      };
      assert.match((await get('')).body, /^<!doctype html>[\s\S]*id="heat"/);
      const snapshot = JSON.parse((await get('snapshot')).body) as ServerSnapshot;
      assert.equal(snapshot.pid, server.child.pid);
      const names = parsePrometheus((await get('metrics')).body).map(({ name }) => name);
      for (const name of ['misplaced', 'lock_waits'])
        assert.ok(names.includes(`freebsd_rss_${name}_total`));
      assert.ok(names.includes('freebsd_rss_inbox_peak'));
      const board = readFileSync('docs/grafana.json', 'utf8');
      const shown = new Set(board.match(/\b(freebsd_rss|memcached)_\w+/g));
      assert.ok(shown.size > 20);
      assert.deepEqual(
        [...shown].filter((name) => !names.includes(name)),
        [],
      );
      assert.equal((await get('healthz')).status, 200);
      assert.equal((await get('other')).status, 404);
      assert.equal((await get('metrics', 'POST')).status, 405);
      // Names that others can make resolve to this address are refused: DNS rebinding.
      const { port } = new URL(url);
      const statusFor = async (...headers: string[]) => {
        const client = net.connect(Number(port), '127.0.0.1');
        client.write(['GET /snapshot HTTP/1.0', ...headers, '', ''].join('\r\n'));
        return Number(/^HTTP\/1\.1 (\d+) /.exec(await text(client.setEncoding('latin1')))?.[1]);
      };
      for (const [host, status] of [
        [`127.0.0.1:${port}`, 200],
        [`localhost:${port}`, 200],
        ['LOCALHOST', 200],
        [`rebound.example.com:${port}`, 421],
        [`127.0.0.1.example.com:${port}`, 421],
        ['127.0.0.2', 421],
        ['[::1]', 421],
        ['[', 421],
        ['', 421],
      ] as const)
        assert.equal(await statusFor(`Host: ${host}`), status, host);
      assert.equal(await statusFor(), 421);
    } finally {
      child.kill();
      await once(child, 'exit', soon());
    }
  });

  it('counts placement, inboxes and waits for locks', async () => {
    const { total, workers } = JSON.parse(await top('--json')) as ServerSnapshot;
    assert.ok(total.misplaced <= total.placementSamples);
    if (process.platform === 'linux') assert.ok(total.placementSamples > 0);
    for (const { inboxLength, inboxPeak, lockWaits, lockWaitUs } of workers) {
      assert.ok(0 <= inboxLength && inboxLength <= inboxPeak);
      assert.ok(lockWaits >= 0 && lockWaitUs >= 0);
    }
    const [, totals, threads, load, late, , lost] = (await top('--count', '1')).split('\n');
    assert.match(totals!, /^up \d+ s; \d+ connections; in \d+\w?\/s; out .*; memory \d+[kM]; busy/);
    assert.match(threads!, /^CPU \d+ % user, \d+ % system; [\d,]+ waits\/s; \d+ forced/);
    assert.match(load!, /^load +.*[▁▂▃▄▅▆▇█] \d+k?\/s$/);
    assert.match(late!, /^delay .* \d+\w? us$/);
    assert.match(lost!, /^misplaced \d+ of \d+; inbox \d+, most \d+; dropped \d+; lock waits/);
    const client = new RawClient(server.port);
    const stats = await client.ask('stats rss\r\n', 'END\r\n');
    client.close();
    for (const name of [
      ...['0:placement_samples', '0:inbox_peak', '0:bytes_read', '0:bytes_written'],
      ...['worker:0:lock_waits', 'worker:0:loop_busy'],
    ])
      assert.match(stats, new RegExp(`^STAT ${name} \\d+`, 'm'));
  });

  it('its workers are profiled by watch, or what is missing is said', async () => {
    const args = ['dist/cli/main.js', 'watch', '--profile', socket, '0.5'];
    const { stdout } = await run(process.execPath, args).catch(
      (error: { stdout: string }) => error, // status 1: something costs placement
    );
    assert.match(stdout, /^(worker 0 on CPU \d+: \d+ samples|no profile: .+)$/m);
  });

  it('fails with ENOENT where there is no socket', async () => {
    await assert.rejects(run(process.execPath, ['dist/cli/main.js', 'top', '/no/such/socket']), {
      code: 70,
      stderr: /ENOENT/,
    });
  });
});
