// Other people's clients, unchanged: libmemcached's tools, and twemproxy in front of two servers.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

import { skipWithout } from '../helpers/features.js';
import { answering, freePorts, RawClient, serveExample } from '../helpers/memcached.js';
import { atMost } from '../helpers/wait.js';

const folder = mkdtempSync(path.join(tmpdir(), 'memcached-clients-'));
after(() => rmSync(folder, { recursive: true }));

describe('libmemcached’s tools', { skip: skipWithout('memccat') }, () => {
  it('copy, show, touch, look for, list and remove', async () => {
    const server = await serveExample('-t', '4');
    const run = (tool: string, ...args: string[]) =>
      spawnSync(tool, [`--servers=127.0.0.1:${server.port}`, ...args], { encoding: 'utf8' });
    const contents: Record<string, Buffer> = {
      small: Buffer.from('a line of text'),
      empty: Buffer.alloc(0),
      large: randomBytes(900_000),
    };
    for (const [name, content] of Object.entries(contents)) {
      writeFileSync(path.join(folder, name), content);
      assert.equal(run('memccp', path.join(folder, name)).status, 0, name);
      const copy = path.join(folder, `${name}-copy`);
      assert.equal(run('memccat', `--file=${copy}`, name).status, 0, name);
      assert.ok(readFileSync(copy).equals(content), name);
      assert.equal(run('memcexist', name).status, 0);
      assert.equal(run('memctouch', '--expire=100', name).status, 0);
    }
    assert.deepEqual(run('memcdump').stdout.trim().split('\n').sort(), ['empty', 'large', 'small']);
    assert.match(run('memcstat').stdout, /curr_items: 3\n/);
    assert.equal(run('memcrm', 'small').status, 0);
    assert.equal(run('memccat', 'small').status, 1);
    assert.equal(run('memcping').status, 0);
    assert.equal(run('memcflush').status, 0);
    assert.equal(run('memcexist', 'large').status, 1);
    assert.equal(await server.stop(), 0);
  });
});

describe('twemproxy', { skip: skipWithout('nutcracker') }, () => {
  it('in front of two servers', atMost(60_000), async () => {
    const servers = [await serveExample('-t', '2'), await serveExample('-t', '2')];
    const [port, statistics] = (await freePorts(2)) as [number, number];
    const configuration = path.join(folder, 'nutcracker.yml');
    const list = servers.map((server, i) => `   - 127.0.0.1:${server.port}:1 server${i}\n`);
    writeFileSync(
      configuration,
      `pool:\n  listen: 127.0.0.1:${port}\n  hash: fnv1a_64\n  distribution: ketama\n` +
        `  preconnect: true\n  servers:\n${list.join('')}`,
    );
    const proxy = spawn('nutcracker', ['-c', configuration, '-s', `${statistics}`], {
      stdio: 'ignore',
    });
    try {
      await answering(port, proxy);
      const client = new RawClient(port);
      const count = 2000;
      const value = (i: number) => `${i}-`.repeat(1 + (i % 400));
      let sets = '';
      for (let i = 0; i < count; i++)
        sets += `set key-${i} ${i} 0 ${value(i).length}\r\n${value(i)}\r\n`;
      assert.equal(
        await client.ask(`${sets}delete none\r\n`, 'NOT_FOUND\r\n').then(storedOf),
        count,
      );
      for (let first = 0; first < count; first += 50) {
        const keys = Array.from({ length: 50 }, (_, i) => first + i);
        const answer = await client.ask(
          `get ${keys.map((i) => `key-${i}`).join(' ')}\r\n`,
          'END\r\n',
        );
        for (const i of keys)
          assert.ok(
            answer.includes(`VALUE key-${i} ${i} ${value(i).length}\r\n${value(i)}\r\n`),
            `key-${i}`,
          );
      }
      assert.equal(
        await client.ask('set n 0 0 2\r\n41\r\nincr n 1\r\n', '42\r\n'),
        'STORED\r\n42\r\n',
      );
      const [, unique] = /VALUE n 0 2 (\d+)/.exec(await client.ask('gets n\r\n', 'END\r\n'))!;
      assert.equal(await client.ask(`cas n 0 0 1 ${unique}\r\n7\r\n`), 'STORED\r\n');
      assert.equal(await client.ask(`cas n 0 0 1 ${unique}\r\n8\r\n`), 'EXISTS\r\n');
      client.close();
      for (const server of servers) {
        const direct = new RawClient(server.port);
        const stats = await direct.ask('stats\r\n', 'END\r\n');
        assert.ok(Number(/STAT curr_items (\d+)/.exec(stats)![1]) > count / 4, 'both have a share');
        direct.close();
      }
    } finally {
      proxy.kill();
      for (const server of servers) assert.equal(await server.stop(), 0);
    }
  });
});

function storedOf(answer: string): number {
  return answer.match(/STORED\r\n/g)?.length ?? 0;
}
