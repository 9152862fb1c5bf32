// Sends random and mutated command streams to memcached and to the example: the answers must be
// equal. FUZZ_COMMANDS is the number of commands, FUZZ_SEED chooses them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';

import { skipWithout } from '../helpers/features.js';
import { type Served, serveExample, serveMemcached } from '../helpers/memcached.js';
import { randomNumbers } from '../helpers/random.js';

const commands = Number(process.env['FUZZ_COMMANDS'] ?? 20_000);
const firstSeed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const lanes = 4;

/** A CAS number that no item has. */
const noCas = '987654321';
/** Numbers to add, and what is none. */
const deltas = ['1', '99', '+7', '007', '-1', 'x', '', '1x'];
const filling = Buffer.from('\r\nmn\r\n'.repeat(1000));

const base64 = (text: string) => Buffer.from(text, 'latin1').toString('base64');

type Random = (below: number) => number;

/** Commands about the keys of one lane: others run at the same time. */
class Generator {
  readonly random: Random;
  /**
   * Whether the stream changes numbers; else it may get them. memcached changes a number in place
   * only if no answer that it has yet to send holds it, and makes a new item of it otherwise.
   */
  counting = false;
  /**
   * Whether the stream is going to be mutated: then without keys that may become too long, see
   * #shortKey().
   */
  mutating = false;
  /** Whether the stream so far may end, or be ended, in the middle of a command. */
  risky = false;
  readonly #lane: string;
  readonly #flush: boolean;

  constructor(random: Random, lane: string, flush: boolean) {
    this.random = random;
    this.#lane = lane;
    this.#flush = flush;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.random(list.length)]!;
  }

  key(): string {
    if (this.mutating || this.random(40) > 0) return `${this.#lane}${this.pick([...'abcdefgh'])}`;
    const long = (length: number) => this.#lane.padEnd(length, 'k');
    const odd = [`${this.#lane}\x01\x7f\xff`, long(250), long(251)];
    // Without a key the next word is taken for one, which no lane has.
    return this.pick(this.#lane === '' ? ['', ...odd] : odd);
  }

  /** Removes the keys of the lane. */
  removal(): Buffer {
    const names = [...'abcdefghs', 'n1', 'n2', 'n3', '\x01\x7f\xff'].map((n) => this.#lane + n);
    const keys = [...names, this.#lane.padEnd(250, 'k')];
    return Buffer.from(keys.map((key) => `delete ${key}\r\n`).join(''), 'latin1');
  }

  /** Of a number. */
  #counter(): string {
    return `${this.#lane}${this.pick(['n1', 'n2', 'n3'])}`;
  }

  /** For gets: an error of memcached's takes the answers along that it has not sent yet. */
  #shortKey(): string {
    const key = this.counting || this.random(4) > 0 ? this.key() : this.#counter();
    return key.length < 200 ? key : `${this.#lane}s`;
  }

  #number(): string {
    const odd = [
      '-1',
      '',
      'x',
      '1x',
      '+7',
      '007',
      '4294967295',
      '4294967296',
      '18446744073709551615',
    ];
    return this.random(30) === 0
      ? this.pick([...odd, '18446744073709551616', '-18446744073709551615', '2147483648', '\t3'])
      : String(this.random(100));
  }

  #exptime(): string {
    const fixed = ['0', '0', '0', '0', '1000', '-1', '2592000', '2592001', '9999999999'];
    return this.pick(this.random(20) === 0 ? ['x', '', '1x', '4294967295', '4294967296'] : fixed);
  }

  #value(key: string): string {
    // Numbers that stay as long as they are: whether memcached changes one in place depends on the
    // moment.
    if (key.includes('n')) return this.pick(['500000', '500000', 'x', '']);
    const size = this.pick([0, 1, 5, 20, 100, 100, 1000, 5000]);
    const large = this.random(60) === 0 ? this.pick([16_000, 65_000, 70_000, 200_000]) : size;
    return this.pick(['v', 'ab\r\n', '\0\xff']).repeat(large).slice(0, large);
  }

  /** A value's length, and the value as it is sent. */
  #block(key: string): [length: string, block: string] {
    const value = this.#value(key);
    const wrong = this.random(60) === 0;
    // Taken for commands, a long value ends the connection.
    this.risky ||= wrong || value.length > 2000;
    return [wrong ? this.#number() : String(value.length), `${value}${wrong ? '\n' : '\r\n'}`];
  }

  #noreply(): string {
    return this.random(5) === 0 ? ' noreply' : '';
  }

  #flags(letters: readonly string[]): string {
    let flags = '';
    for (const letter of letters) if (this.random(3) === 0) flags += ` ${letter}`;
    if (this.random(30) === 0) flags += ` ${this.pick(['!', 'v', 'O', 'q', 'T', 'k', 'xyz'])}`;
    return flags;
  }

  #shortKeys(): string {
    return Array.from({ length: 1 + this.random(4) }, () => this.#shortKey()).join(' ');
  }

  /** One command. CAS stands for the number that the last gets has brought. */
  command(): string {
    const key = this.random(4) > 0 ? this.key() : this.#counter();
    const [length, block] = this.#block(key);
    const time = this.#exptime();
    let flags: string[];
    const opaque = this.random(30) === 0 ? `O${'o'.repeat(40)}` : 'Oxyz';
    switch (this.random(24)) {
      case 0:
      case 1:
      case 2:
        return `set ${key} ${this.#number()} ${time} ${length}${this.#noreply()}\r\n${block}`;
      case 3:
        return (
          `${this.pick(['add', 'replace'])} ${key} ${this.#number()} ${time} ${length}` +
          `${this.#noreply()}\r\n${block}`
        );
      case 4:
        return (
          `${this.pick(['append', 'prepend'])} ${key} 0 0 ${length}` +
          `${this.#noreply()}\r\n${block}`
        );
      case 5:
        return (
          `cas ${key} 1 ${time} ${length} ${this.pick(['CAS', 'CAS', noCas, '0', 'x'])}` +
          `${this.#noreply()}\r\n${block}`
        );
      case 6:
      case 7:
        return `${this.pick(['get', 'gets'])} ${this.#shortKeys()}\r\n`;
      case 8:
        return `${this.pick(['gat', 'gats'])} ${time} ${this.#shortKey()} ${this.#shortKey()}\r\n`;
      case 9:
        return `touch ${key} ${time}${this.#noreply()}\r\n`;
      case 10:
        return `delete ${key}${this.pick(['', '', ' 0', ' 5', ' noreply', ' 0 noreply'])}\r\n`;
      case 11:
      case 12:
        if (!this.counting) return `gets ${this.#counter()}\r\n`;
        return this.random(2) === 0
          ? `incr ${this.#counter()} ${this.pick(deltas)}${this.#noreply()}\r\n`
          : `decr ${this.#counter()} ${this.random(100)}${this.#noreply()}\r\n`;
      case 13:
      case 14:
        return `mg ${this.#shortKey()}${this.#flags([...'vscftkq', 'Oxyz'])}\r\n`;
      case 15:
        flags = [...'vs', `N${time}`, `R${this.#number()}`, `T${time}`, ...'uk'];
        return `mg ${this.#shortKey()}${this.#flags(flags)}\r\n`;
      case 16:
      case 17:
        // No stale numbers: whether memcached changes one in place, or forgets the mark, depends on
        // the moment.
        flags = [...'ckq', opaque, `T${time}`, `F${this.#number()}`];
        flags.push(`M${this.pick([...'EAPRSZ'])}`);
        flags.push(this.pick(['CCAS', key.includes('n') ? 'C1' : 'C1 I']));
        return `ms ${key} ${length}${this.#flags(flags)}\r\n${block}`;
      case 18:
        return `md ${this.key()}${this.#flags(['q', 'k', opaque, 'I', `T${time}`, 'CCAS'])}\r\n`;
      case 19:
        if (!this.counting) return `mg ${this.#counter()}${this.#flags(['v', 'c', 's', 't'])}\r\n`;
        flags = [...'vtcqk', `N${time}`, `J${500_000 + this.random(9)}`, `D${this.random(100)}`];
        flags.push(`M${this.pick([...'ID+-X'])}`, 'CCAS');
        return `ma ${this.#counter()}${this.#flags(flags)}\r\n`;
      case 20:
        return `mg ${base64(this.#shortKey())} b${this.#flags([...'vks'])}\r\n`;
      case 21:
        return `ms ${base64(key)} ${length} b${this.#flags([...'kc'])}\r\n${block}`;
      case 22:
        return this.#flush && this.random(3) === 0
          ? `flush_all${this.pick(['', ' 0', ' noreply', ' x'])}\r\n`
          : this.pick([
              'mn\r\n',
              'me none\r\n',
              'version\r\n',
              'verbosity 0\r\n',
              '\r\n',
              'mx a\r\n',
              `mg none O${'o'.repeat(40)}\r\n`,
            ]);
      default:
        return this.pick([
          'nonsense\r\n',
          'set\r\n',
          'get\r\n',
          'mg\r\n',
          'incr a\r\n',
          'gat 1\r\n',
          'cache_memlimit 1\r\n',
          'shutdown\r\n',
          `${'get x '.repeat(30)}\r\n`,
          'touch a\r\n',
          'delete\r\n',
          'quit\r\n',
        ]);
    }
  }

  /** Mutates some streams; behind what may end in the middle of a value come bytes to fill it. */
  mutate(stream: Buffer): Buffer {
    const { random } = this;
    if (!this.mutating) return this.risky ? Buffer.concat([stream, filling]) : stream;
    this.risky = true;
    const bytes = [...stream.subarray(0, 4000)];
    for (let i = 0; i <= random(3); i++) {
      const at = random(bytes.length);
      switch (random(4)) {
        case 0:
          bytes[at] = random(256);
          break;
        case 1:
          bytes.splice(at, random(8));
          break;
        case 2:
          bytes.splice(at, 0, this.pick([0, 10, 13, 32, 48, 57, 255]));
          break;
        default:
          bytes.splice(at, 0, ...bytes.slice(at, at + random(20)));
      }
    }
    return Buffer.concat([Buffer.from(bytes), filling]);
  }
}

/** Sends the stream, cut up, on a connection of its own and reads until its end. */
async function answer(port: number, stream: Buffer, random: Random): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.setNoDelay(true);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  let reset = false;
  socket.on('error', () => (reset = true));
  const closed = once(socket, 'close').catch(() => undefined);
  for (let at = 0; at < stream.length && !reset;) {
    const size = random(3) === 0 ? 1 + random(60) : stream.length;
    socket.write(stream.subarray(at, at + size));
    at += size;
    if (random(4) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  await closed;
  return reset ? '<reset>' : Buffer.concat(chunks).toString('latin1');
}

/**
 * What differs by design: CAS numbers, seconds that have passed, the version, what me tells of
 * memory. And that a key came in base64, which memcached may forget when a counter changes.
 */
function comparable(text: string): string {
  return text
    .replace(/^(VALUE [^ ]+ \d+ \d+) \d+\r$/gm, '$1 CAS\r')
    .replace(/^(?:HD|VA|EX|NF|NS|EN) .*$/gm, (line) =>
      line
        .replace(/ c[1-9]\d*/g, ' cCAS')
        .replace(/ k(\S+) b(?!\S)/g, decoded)
        .replace(/ t\d+(?!\S)/g, ' tN'),
    )
    .replace(/0{3}\d{9}/g, 'CAS') // a command that has been taken for a value
    .replace(/^VERSION .*$/gm, 'VERSION')
    .replace(/^(ME \S+) .*$/gm, '$1');
}

const decoded = (_: string, key: string) => ` k${Buffer.from(key, 'base64').toString('latin1')}`;

/** The first line that differs, and the two before. */
function difference(wanted: string, given: string): string {
  const [lines, own] = [wanted.split('\r\n'), given.split('\r\n')];
  const at = lines.findIndex((line, i) => line !== own[i]);
  const from = Math.max(0, at - 2);
  const part = (list: string[]) =>
    JSON.stringify(list.slice(from, at + 3).map((l) => l.slice(0, 80)));
  return `from line ${from} on memcached says ${part(lines)}, the example ${part(own)}, to:\n`;
}

function shown(stream: Buffer): string {
  const text = stream.toString('latin1').replaceAll(filling.toString(), '');
  return JSON.stringify(text.replace(/(v|ab\r\n|\0\xff){20,}/g, '$1...')).slice(0, 4000);
}

const uniqueIn = (text: string, before: string) =>
  [...text.matchAll(/^VALUE [^ ]+ \d+ \d+ (\d+)\r$|^(?:HD|VA) .*? c([1-9]\d*)/gm)]
    .map(([, classic, meta]) => classic ?? meta!)
    .at(-1) ?? before;

async function fuzz(
  real: Served,
  ours: Served,
  lane: string,
  seed: number,
  count: number,
  flush: boolean,
) {
  const generator = new Generator(randomNumbers(seed), lane, flush);
  const { random } = generator;
  let [realCas, ourCas] = [noCas, noCas];
  let [streams, same] = [0, 0];
  for (let done = 0; done < count;) {
    generator.risky = false;
    generator.counting = random(2) === 0;
    generator.mutating = random(5) === 0;
    const list = Array.from({ length: 1 + random(20) }, () => generator.command());
    done += list.length;
    const stream = generator.mutate(Buffer.from(list.join(''), 'latin1'));
    const withCas = (cas: string) =>
      Buffer.from(stream.toString('latin1').replaceAll('CAS', cas.padStart(12, '0')), 'latin1');
    const cut = random(2 ** 31);
    const [expected, got] = await Promise.all([
      answer(real.port, withCas(realCas), randomNumbers(cut)),
      answer(ours.port, withCas(ourCas), randomNumbers(cut)),
    ]);
    const [wanted, given] = [comparable(expected), comparable(got)];
    // memcached drops the answers it has not sent yet when a connection ends in the middle of a
    // command. Both decide whether a line is too long by the part of it that they have read.
    const cutShort = generator.risky && (given.startsWith(wanted) || wanted.startsWith(given));
    if (expected !== '<reset>' && got !== '<reset>' && !cutShort && given !== wanted)
      assert.fail(`seed ${seed}, lane "${lane}": ${difference(wanted, given)}${shown(stream)}`);
    if (got === '<reset>' && expected !== '<reset>' && !generator.risky)
      assert.fail(`seed ${seed}: the example has reset the connection of ${shown(stream)}`);
    realCas = uniqueIn(expected, realCas);
    ourCas = uniqueIn(got, ourCas);
    streams++;
    if (given === wanted && got !== '<reset>') {
      same++;
      continue;
    }
    // One may have run commands that the other has not seen.
    [realCas, ourCas] = [noCas, noCas];
    for (const { port } of [real, ours]) await answer(port, generator.removal(), random);
  }
  assert.ok(
    same > streams * 0.7,
    `${same} of ${streams} streams have been answered alike to their end`,
  );
}

test(`${commands} random commands`, { skip: skipWithout('memcached') }, async (t) => {
  console.log(`FUZZ_SEED=${firstSeed}`);
  const real = await serveMemcached('-m', '64');
  const ours = await serveExample('-t', '2');
  try {
    await t.test('in four lanes at once', async () => {
      const each = Math.ceil((commands * 0.75) / lanes);
      await Promise.all(
        Array.from({ length: lanes }, (_, lane) =>
          fuzz(real, ours, `${lane}:`, firstSeed + lane, each, false),
        ),
      );
    });
    await t.test('one after the other, with flush_all', () =>
      fuzz(real, ours, '', firstSeed + lanes, Math.ceil(commands / 4), true),
    );
  } finally {
    await real.stop();
    assert.equal(await ours.stop(), 0);
  }
});
