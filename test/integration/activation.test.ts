// Socket activation: this test is the activator. It opens the sockets and starts the server with
// them, as a service manager does.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { activatedSockets, createServer, openListener, type ServerAddress } from 'freebsd-rss';

import { unwrap } from '../../lib/errors.js';
import { native } from '../../lib/native.js';
import { datagram, inParallel, randomLoopback, report } from '../helpers/net.js';
import { soon } from '../helpers/wait.js';

const program = fileURLToPath(new URL('../fixtures/activated-server.js', import.meta.url));
const worker = new URL('../fixtures/report-worker.js', import.meta.url);

const folder = mkdtempSync(path.join(tmpdir(), 'rss-activation-'));
const socketPath = path.join(folder, 'socket');
after(() => rmSync(folder, { recursive: true }));

/** A Unix socket that listens, as an activator has it. */
const listenUnix = (file: string) => unwrap(native.listenUnix(file, 0o700, 16)).release();

async function reportByPath(): Promise<void> {
  const socket = net.connect(socketPath);
  socket.write('report\n');
  await once(socket, 'data', soon());
  socket.destroy();
}

interface Started {
  pid: number;
  steering: string;
  steeringReason: string;
  addresses: ServerAddress[];
  sockets: number;
}

describe('activation', () => {
  let web: number;
  let echo: number;
  let local: number;
  let port: number;
  let udpPort: number;
  let child: ChildProcess;
  let output: Interface;

  const started = async () =>
    JSON.parse(((await once(output, 'line', soon())) as [string])[0]) as Started;

  /** Starts the server. The shell has the process id that the server will have. */
  const activate = () => {
    const script = 'LISTEN_PID=$$ exec "$0" "$1"';
    child = spawn('sh', ['-c', script, process.execPath, path.resolve(program)], {
      stdio: ['ignore', 'pipe', 'inherit', web, echo, local],
      env: { ...process.env, LISTEN_FDS: '3', LISTEN_FDNAMES: 'web:echo:local' },
    });
    output = createInterface(child.stdout!);
    return started();
  };

  before(() => {
    const tcp = openListener({ host: '127.0.0.1' });
    const udp = openListener({ protocol: 'udp', host: '127.0.0.1' });
    [port, udpPort] = [tcp.port, udp.port];
    [web, echo, local] = [tcp.release().fd, udp.release().fd, listenUnix(socketPath)];
  });
  after(() => {
    closeSync(web);
    closeSync(echo);
    closeSync(local);
  });

  const workersOf = async (connections: number) => {
    const reports = await inParallel(connections, 8, () =>
      report({ host: '127.0.0.1', port, localAddress: randomLoopback() }),
    );
    return new Set(reports.map(({ report: { workerIndex } }) => workerIndex));
  };

  it('a client that is there first is served, by any worker', async () => {
    const waiting = report({ host: '127.0.0.1', port });
    const { steering, steeringReason, addresses, sockets } = await activate();
    assert.deepEqual([steering, sockets], ['single', 3]);
    assert.match(steeringReason, /inherited/);
    assert.deepEqual(
      addresses.map((one) => [one.protocol, one.address, one.port]),
      [
        ['tcp', '127.0.0.1', port],
        ['udp', '127.0.0.1', udpPort],
      ],
    );
    await waiting;
    assert.equal((await workersOf(64)).size, 2);
    const asked = { host: '127.0.0.1', port: udpPort, localAddress: '127.0.0.1' };
    const answers = await inParallel(64, 8, () => datagram(asked));
    const workers = new Set(answers.map(({ report: { workerIndex } }) => workerIndex));
    assert.equal(workers.size, 2, 'datagrams are forwarded');
    await reportByPath();
  });

  it('the sockets outlive the server: the next one serves who came in between', async () => {
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit', soon()), [0, null]);
    const waiting = report({ host: '127.0.0.1', port });
    await activate();
    await waiting;
    await reportByPath();
  });

  it('upgrade() passes them on', async () => {
    const old = child;
    const exited = once(old, 'exit', soon());
    old.kill('SIGUSR2');
    const successor = await started();
    assert.notEqual(successor.pid, old.pid);
    assert.deepEqual(await exited, [0, null]);
    assert.equal((await workersOf(64)).size, 2);
    await reportByPath();
    const closed = once(output, 'close', soon());
    process.kill(successor.pid, 'SIGTERM');
    await closed;
    assert.ok(existsSync(socketPath), 'the file is the activator’s');
  });
});

describe('inherited sockets', () => {
  it('none without the variables, or with those of another process', () => {
    assert.deepEqual(activatedSockets(), []);
    Object.assign(process.env, { LISTEN_PID: `${process.pid + 1}`, LISTEN_FDS: '1' });
    assert.deepEqual(activatedSockets(), []);
    Object.assign(process.env, { LISTEN_PID: `${process.pid}`, LISTEN_FDNAMES: 'a:b' });
    process.env['LISTEN_FDS'] = '3';
    assert.deepEqual(activatedSockets(), [3, 4, 5]);
    assert.deepEqual([activatedSockets('b'), activatedSockets('c')], [[4], []]);
    for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'])
      Reflect.deleteProperty(process.env, name);
  });

  it('a socket of another kind is refused, and stays the caller’s', async () => {
    const { fd } = openListener({ protocol: 'udp', host: '127.0.0.1' }).release();
    const server = createServer({ worker, tcp: { fd } });
    await assert.rejects(server.listen(), { code: 'EPROTOTYPE', fd });
    closeSync(fd);
    await assert.rejects(createServer({ worker, tcp: { fd } }).listen(), { code: 'EBADF' });
  });

  it('of a Unix socket it is the same', async () => {
    const { fd } = openListener({ host: '127.0.0.1' }).release();
    await assert.rejects(createServer({ worker, unix: { fd } }).listen(), {
      code: 'EPROTOTYPE',
      fd,
    });
    closeSync(fd);
    for (const unix of [{}, { fd: 3, path: socketPath }])
      assert.throws(() => createServer({ worker, unix }), { code: 'ERR_INVALID_ARG_VALUE' });
  });

  it('close() closes the socket', async () => {
    const listener = openListener({ host: '127.0.0.1' });
    const { port } = listener;
    const { fd } = listener.release();
    const server = await createServer({ worker, tcp: { fd } }).listen();
    await server.close();
    const socket = net.connect(port, '127.0.0.1');
    await assert.rejects(once(socket, 'connect', soon()), { code: 'ECONNREFUSED' });
  });
});
