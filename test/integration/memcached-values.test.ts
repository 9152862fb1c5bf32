// Large values go out from where they lie in the store, while they are replaced, deleted and
// evicted.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { describe, it } from 'node:test';

import { skipWithout } from '../helpers/features.js';
import { RawClient, serveExample } from '../helpers/memcached.js';
import { fill, wrongWords } from '../helpers/pattern.js';
import { readSlowly } from '../helpers/values.js';
import { atMost } from '../helpers/wait.js';

const keys = 24;
const sizes = [2 ** 16 - 8, 2 ** 16, 70_000, 150_000, 500_000, 1_000_000];
/** 128 MiB in CI; ZERO_COPY_BYTES for more. */
const wanted = Number(process.env['ZERO_COPY_BYTES'] ?? 2 ** 27);

const any = (count: number) => Math.floor(Math.random() * count);

/** Takes answers apart, and checks the values in them. */
class AnswerReader {
  answers = 0;
  values = 0;
  bytes = 0;
  #rest: Buffer = Buffer.alloc(0);

  read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const end = this.#rest.indexOf('\r\n');
      if (end < 0) return;
      const [name, ...words] = this.#rest.toString('latin1', 0, end).split(' ');
      if (name === 'END' || name === 'EN') {
        this.answers++;
        this.#rest = this.#rest.subarray(end + 2);
        continue;
      }
      assert.ok(name === 'VALUE' || name === 'VA', `an answer begins with ${name}`);
      const length = Number(name === 'VA' ? words[0] : words[2]);
      const next = end + 2 + length + 2;
      if (this.#rest.length < next) return;
      const value = this.#rest.subarray(end + 2, next - 2);
      const key = Number(words.at(name === 'VA' ? 1 : 0)!.replace(/^k?key-/, ''));
      assert.equal(value.readUInt32LE(0) % keys, key, 'a value of this key');
      assert.equal(wrongWords(value, value.readInt32LE(0)), 0);
      assert.equal(this.#rest.toString('latin1', next - 2, next), '\r\n');
      if (name === 'VA') this.answers++;
      this.values++;
      this.bytes += length;
      this.#rest = this.#rest.subarray(next);
    }
  }
}

async function readValues(port: number, reader: AnswerReader, enough: () => boolean) {
  const socket = net.connect(port, '127.0.0.1');
  const ask = () => {
    const key = `key-${any(keys)}`;
    const how = any(3);
    if (how === 0) socket.write(`mg ${key} v k\r\n`);
    else if (how === 1) socket.write(`gets ${key} key-${any(keys)} key-${any(keys)}\r\n`);
    else socket.write(`get ${key}\r\n`);
  };
  for (let i = 0; i < 3; i++) ask();
  let answered = 0;
  const read = (chunk: Buffer) => {
    reader.read(chunk);
    for (; answered < reader.answers; answered++) ask();
  };
  await readSlowly(socket, read, enough);
}

/** Replaces and deletes as fast as it can. Returns how many values were stored. */
async function change(port: number, enough: () => boolean): Promise<number> {
  const client = new RawClient(port);
  let stored = 0;
  while (!enough()) {
    const key = any(keys);
    if (Math.random() < 0.2) await client.ask(`delete key-${key}\r\n`);
    else if (Math.random() < 0.005) await client.ask('flush_all\r\n');
    else {
      const value = Buffer.alloc(sizes[any(sizes.length)]! & ~3);
      fill(value, any(2 ** 31 / keys - 1) * keys + key);
      client.send(`set key-${key} 0 0 ${value.length}\r\n`);
      client.send(value);
      assert.equal(await client.ask('\r\n'), 'STORED\r\n');
      stored++;
    }
  }
  client.close();
  return stored;
}

describe('large values that change while they are sent', () => {
  it('every byte of every answer is right', atMost(600_000), async () => {
    const server = await serveExample('-t', '2', '-m', '16');
    const readers = Array.from({ length: 10 }, () => new AnswerReader());
    const bytes = () => readers.reduce((sum, reader) => sum + reader.bytes, 0);
    const enough = () => bytes() >= wanted;
    const [stored] = await Promise.all([
      change(server.port, enough),
      change(server.port, enough),
      ...readers.map((reader) => readValues(server.port, reader, enough)),
    ]);
    assert.ok(stored > 0);
    assert.ok(enough());
    assert.equal(await server.stop(), 0);
  });

  it('the lines around a value are right, whatever its size and the keys beside it', async () => {
    const server = await serveExample('-t', '1', '-m', '64');
    const client = new RawClient(server.port);
    assert.equal(await client.ask('set small 0 0 1\r\ns\r\n'), 'STORED\r\n');
    const small = 'VALUE small 0 1\r\ns\r\n';
    for (const size of [...sizes, 2 ** 16 - 7, 2 ** 16 + 1, 2 ** 17 - 20, 2 ** 18]) {
      const value = 'v'.repeat(size);
      client.send(`set large 0 0 ${size}\r\n`);
      assert.equal(await client.ask(`${value}\r\n`), 'STORED\r\n');
      const large = `VALUE large 0 ${size}\r\n${value}\r\n`;
      for (const [request, answer] of [
        ['get large', `${large}END\r\n`],
        ['get large ', `${large}END\r\n`],
        ['get small large', `${small}${large}END\r\n`],
        ['get large small', `${large}${small}END\r\n`],
        ['get large none', `${large}END\r\n`],
        ['get large large', `${large}${large}END\r\n`],
        ['gat 0 large', `${large}END\r\n`],
        ['gets large', `${large}END\r\n`],
        ['mg large v', `VA ${size}\r\n${value}\r\n`],
      ] as const) {
        // The next command's answer shows that this one has no more bytes.
        const got = await client.ask(`${request}\r\nversion\r\n`, 'VERSION ');
        await client.until('\r\n');
        const plain = request.startsWith('gets') ? got.replace(/ \d+\r\n/, '\r\n') : got;
        assert.ok(plain === `${answer}VERSION `, `${request}, ${size}`);
      }
    }
    client.close();
    assert.equal(await server.stop(), 0);
  });

  it(
    'memory stays bounded when no client reads',
    { skip: skipWithout('resident-memory'), ...atMost(300_000) },
    async () => {
      const server = await serveExample('-t', '2', '-m', '16');
      const residentMemory = () => {
        const status = readFileSync(`/proc/${server.child.pid}/status`, 'latin1');
        return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) * 1024;
      };
      const changes = (count: number) => change(server.port, () => count-- === 0);
      await changes(200); // everything has been used once
      const before = residentMemory();
      const line = Array.from({ length: keys }, (_, key) => `get key-${key}\r\n`).join('');
      const silent = Array.from({ length: 100 }, () => {
        const socket = net.connect(server.port, '127.0.0.1').pause();
        socket.on('error', () => undefined); // the slowest may be closed
        for (let i = 0; i < 10; i++) socket.write(line);
        return socket;
      });
      await changes(400);
      const more = residentMemory() - before;
      // A value or two for each, of the 200 that each asked for.
      assert.ok(more < silent.length * 2 ** 21, `${more} bytes more`);
      const client = new RawClient(server.port);
      const reader = new AnswerReader();
      reader.read(Buffer.from(await client.ask(line, 'END\r\n'), 'latin1'));
      for (const socket of silent) socket.destroy();
      client.close();
      assert.equal(await server.stop(), 0);
    },
  );
});
