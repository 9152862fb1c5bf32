// The binary protocol and dumps on real sockets.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import {
  binaryAnswers,
  BinaryClient,
  type BinaryParts,
  binaryRequest,
  words,
} from '../helpers/binary.js';
import { memcachedTool, skipWithout } from '../helpers/features.js';
import { freeUdpPort, RawClient, serveExample } from '../helpers/memcached.js';

const folder = mkdtempSync(path.join(tmpdir(), 'memcached-binary-'));
after(() => rmSync(folder, { recursive: true }));

const main = fileURLToPath(new URL('../../examples/memcached/main.js', import.meta.url));
const extras = words(0, 0);
const noop = 0x0a;

describe('the binary protocol', () => {
  it('and text see each other’s items, on connections of their own', async () => {
    const server = await serveExample('-t', '2');
    const binary = new BinaryClient({ port: server.port, host: '127.0.0.1' });
    const text = new RawClient(server.port);
    for (const size of [0, 1, 100, 5000, 70_000, 900_000]) {
      const value = 'v'.repeat(size);
      await binary.ask({ opcode: 0x01, key: `b${size}`, extras: words(7, 0), value });
      assert.equal(
        await text.ask(`get b${size}\r\n`, 'END\r\n'),
        `VALUE b${size} 7 ${size}\r\n${value}\r\nEND\r\n`,
      );
      assert.equal(await text.ask(`set t${size} 9 0 ${size}\r\n${value}\r\n`), 'STORED\r\n');
      const [hit, withKey] = await binary.ask(
        { opcode: 0x00, key: `t${size}` },
        { opcode: 0x0c, key: `t${size}` },
      );
      assert.deepEqual([hit!.extras, hit!.value === value], ['00000009', true]);
      assert.deepEqual([withKey!.key, withKey!.value === value], [`t${size}`, true]);
    }
    binary.close();
    text.close();
    assert.equal(await server.stop(), 0);
  });

  it('answers 20,000 pipelined requests, with values of a page and more among them', async () => {
    const server = await serveExample('-t', '2');
    const client = new BinaryClient({ port: server.port, host: '127.0.0.1' });
    const large = Buffer.alloc(300_000, 'x');
    await client.ask({ opcode: 0x01, key: 'large', extras, value: large });
    const requests = Array.from({ length: 20_000 }, (_, i): BinaryParts => {
      if (i % 200 === 0) return { opcode: 0x00, key: 'large', opaque: i };
      if (i % 2 === 0) return { opcode: 0x01, key: `k${i}`, extras, value: `v${i}`, opaque: i };
      return { opcode: 0x0c, key: `k${i - 1}`, opaque: i };
    });
    const answers = await client.ask(...requests);
    assert.equal(answers.length, requests.length);
    for (const [i, { opaque, value, key }] of answers.entries()) {
      assert.equal(opaque, i);
      if (i % 200 === 0) assert.equal(value.length, large.length);
      else if (i % 2 === 1 && i % 200 !== 1)
        assert.deepEqual([key, value], [`k${i - 1}`, `v${i - 1}`]);
    }
    client.close();
    assert.equal(await server.stop(), 0);
  });

  it('is served by UDP and on a Unix socket', async () => {
    const udpPort = await freeUdpPort();
    const server = await serveExample('-t', '2', '-U', String(udpPort));
    const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const frame = (...requests: BinaryParts[]) =>
      Buffer.concat([Buffer.from([1, 2, 0, 0, 0, 1, 0, 0]), ...requests.map(binaryRequest)]);
    socket.send(
      frame({ opcode: 0x01, key: 'u', extras, value: 'udp' }, { opcode: 0x0c, key: 'u' }),
      udpPort,
      '127.0.0.1',
    );
    const [answer] = (await once(socket, 'message')) as [Buffer];
    assert.equal(answer.toString('hex', 0, 8), '0102000000010000');
    const { answers } = binaryAnswers(answer.subarray(8));
    assert.deepEqual(
      answers.map(({ status, key, value }) => [status, key, value]),
      [
        [0, '', ''],
        [0, 'u', 'udp'],
      ],
    );
    const value = 'x'.repeat(900_000);
    const tcp = new BinaryClient({ port: server.port, host: '127.0.0.1' });
    for (const key of ['1', '2', '3']) await tcp.ask({ opcode: 0x01, key, extras, value });
    socket.send(
      frame(...['1', '2', '3'].map((key) => ({ opcode: 0x00, key, opaque: 5 }))),
      udpPort,
      '127.0.0.1',
    );
    const [refusal] = (await once(socket, 'message')) as [Buffer];
    const [refused] = binaryAnswers(refusal.subarray(8)).answers;
    assert.deepEqual(
      [refused!.status, refused!.value, refused!.opaque],
      [3, 'response too large for UDP', 5],
    );
    tcp.close();
    socket.close();
    assert.equal(await server.stop(), 0);

    const file = path.join(folder, 'socket');
    const local = spawn(process.execPath, [main, '-s', file, '-t', '2'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    while (!output.includes('serving:'))
      output += ((await once(local.stdout, 'data')) as [Buffer])[0].toString();
    const client = new BinaryClient({ path: file });
    await client.ask({ opcode: 0x01, key: 'a', extras, value: 'unix' });
    assert.equal((await client.ask({ opcode: 0x00, key: 'a' }))[0]!.value, 'unix');
    client.close();
    local.kill('SIGTERM');
    assert.deepEqual(await once(local, 'exit'), [0, null]);
  });

  it('-B ascii and -B binary close a connection of the other protocol at once', async () => {
    for (const [protocol, request] of [
      ['ascii', binaryRequest({ opcode: noop }).subarray(0, 1)],
      ['binary', Buffer.from('v')],
    ] as const) {
      const server = await serveExample('-t', '1', '-B', protocol);
      const client = new RawClient(server.port);
      client.send(request);
      assert.equal(await client.until('anything'), '<closed>');
      assert.equal(await server.stop(), 0);
    }
  });

  it('-S asks for a password by SASL, and -Y in both protocols', async () => {
    const users = path.join(folder, 'users');
    writeFileSync(users, 'me:secret\n');
    const login = { opcode: 0x21, key: 'PLAIN', value: '\0me\0secret' };
    const server = await serveExample('-t', '1', '-Y', users);
    const text = new RawClient(server.port);
    assert.equal(await text.ask('set a 0 0 9\r\nme secret\r\n'), 'STORED\r\n');
    text.close();
    const guest = new BinaryClient({ port: server.port, host: '127.0.0.1' });
    assert.equal((await guest.ask(login))[0]!.value, 'Authenticated');
    guest.close();
    const stranger = new RawClient(server.port);
    stranger.send(binaryRequest({ opcode: 0x00, key: 'a' }));
    assert.match(await stranger.until('never'), /Auth failure\.<closed>$/);
    assert.equal(await server.stop(), 0);
    const strict = await serveExample('-t', '1', '-S', '-Y', users);
    const refused = new RawClient(strict.port);
    refused.send('version\r\n');
    assert.equal(await refused.until('never'), '<closed>');
    const client = new BinaryClient({ port: strict.port, host: '127.0.0.1' });
    await client.ask(login);
    const settings = await client.ask({ opcode: 0x10, key: 'settings' });
    assert.equal(settings.find(({ key }) => key === 'auth_enabled_sasl')?.value, 'yes');
    assert.equal(settings.find(({ key }) => key === 'binding_protocol')?.value, 'binary');
    client.close();
    assert.equal(await strict.stop(), 0);
  });
});

describe('lru_crawler', () => {
  const count = 30_000;

  it('metadump and mgdump list every item, also to a client that reads late', async () => {
    const server = await serveExample('-t', '2', '-m', '128');
    const client = new RawClient(server.port);
    let sets = '';
    for (let i = 0; i < count; i++)
      sets += `set key-${i} 0 ${i % 2 ? 0 : 1000} 2 noreply\r\nxy\r\n`;
    assert.match(await client.ask(`${sets}version\r\n`), /^VERSION/);
    await client.ask(`set large 0 0 200000\r\n${'x'.repeat(200_000)}\r\n`);
    await client.ask('set gone 0 -1 1\r\nx\r\n');
    const odd = new BinaryClient({ port: server.port, host: '127.0.0.1' });
    await odd.ask({ opcode: 0x01, key: 'a b%\n', extras, value: 'x' });
    odd.close();

    const late = new RawClient(server.port);
    late.socket.pause();
    late.send('lru_crawler metadump all\r\nversion\r\n');
    const ask = (line: string, last: string) => client.ask(line, last);
    const dump = await ask('lru_crawler metadump all\r\n', 'END\r\n');
    const lines = dump.split('\n').slice(0, -2);
    const keys = lines.map((line) => /^key=(\S+) /.exec(line)![1]!);
    const expected = Array.from({ length: count }, (_, i) => `key-${i}`);
    expected.push('large', 'a%20b%25%0A');
    assert.deepEqual(keys.sort(), expected.sort());
    assert.match(
      lines.find((line) => line.startsWith('key=large'))!,
      /^key=large exp=-1 la=\d+ cas=\d+ fetch=no cls=\d+ size=20\d{4}$/,
    );
    late.socket.resume();
    const lateDump = await late.until('END\r\n');
    assert.equal(lateDump.split('\n').length, dump.split('\n').length);
    assert.match(await late.until('\r\n'), /^VERSION/, 'what follows is answered');
    late.close();
    const leaving = new RawClient(server.port);
    leaving.socket.end('lru_crawler metadump all\r\n');
    assert.equal((await leaving.until('END\r\n')).length, dump.length);

    const names = await ask('lru_crawler mgdump hash\r\n', 'EN\r\n');
    const gets = names.split('\r\n').slice(1, -2);
    assert.equal(gets.length, count + 2);
    assert.ok(gets.includes('mg key-7') && gets.includes('mg YSBiJQo= b'));
    assert.equal(await ask('mg YSBiJQo= b v\r\n', 'x\r\n'), 'VA 1\r\nx\r\n');

    const [, some] = /key=key-7 .* cls=(\d+)/.exec(dump)!;
    const part = await ask(`lru_crawler metadump ${some}\r\n`, 'END\r\n');
    assert.ok(part.includes('key=key-7 ') && !part.includes('key=large'));
    for (const list of ['0', '99', 'x', '1,,2'])
      assert.equal(
        await ask(`lru_crawler metadump ${list}\r\n`, '\r\n'),
        'BADCLASS invalid class id\r\n',
      );
    for (const line of ['lru_crawler', 'lru_crawler metadump', 'lru_crawler frob all'])
      assert.equal(await ask(`${line}\r\n`, '\r\n'), 'ERROR\r\n');
    client.close();
    assert.equal(await server.stop(), 0);
  });

  it('serves memcached-tool dump', { skip: skipWithout('memcached-tool') }, async () => {
    const server = await serveExample('-t', '2');
    const client = new RawClient(server.port);
    await client.ask('set a 5 0 3\r\nabc\r\n');
    await client.ask('set b:c 6 0 1\r\nx\r\n');
    const { stdout } = spawnSync(memcachedTool, [`127.0.0.1:${server.port}`, 'dump'], {
      encoding: 'utf8',
    });
    const parts = stdout.split(/(?=^add )/m).sort();
    assert.deepEqual(parts, ['add a 5 0 3\r\nabc\r\n', 'add b:c 6 0 1\r\nx\r\n']);
    client.close();
    assert.equal(await server.stop(), 0);
  });
});
