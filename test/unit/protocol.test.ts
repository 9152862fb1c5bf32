// The protocol over bytes, without sockets: however the input is cut up, the answers are the same.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Memory } from '../../examples/memcached/memory.js';
import { Output } from '../../examples/memcached/protocol/output.js';
import { Protocol } from '../../examples/memcached/protocol/protocol.js';
import { Session } from '../../examples/memcached/protocol/session.js';
import { Tokens } from '../../examples/memcached/protocol/tokens.js';
import { Counters, createCounters } from '../../examples/memcached/statistics.js';
import { Clock } from '../../examples/memcached/store/clock.js';
import { Store, StoreMemory } from '../../examples/memcached/store/store.js';
import { parseOptions, usage, UsageError } from '../../examples/memcached/options.js';

const clock = new Clock();
const memory = new StoreMemory({ megabytes: 4, itemSize: 2 ** 20, evict: true }, clock);
const store = new Store(memory.handle, 1);
const out = new Output();
const counters = new Counters(createCounters(1).id, 0);
const protocol = new Protocol(store, clock, counters, out, 1);

/** What has been written, and the output empty again. */
function taken(from: Output): Buffer {
  const bytes = Buffer.from(from.memory.bytes.subarray(from.begin, from.end));
  from.rewind();
  return bytes;
}

/** Feeds pieces as a socket would bring them, and honours session.needed. */
function feed(pieces: Buffer[]): string {
  store.forEach((shard) => shard.clear());
  const session = new Session();
  let input = Buffer.alloc(0);
  for (const piece of pieces) {
    input = Buffer.concat([input, piece]);
    if (input.length < session.needed) continue;
    let at = 0;
    while (at < input.length && !session.closing) {
      const done = protocol.execute(new Memory(input), at, input.length, session);
      if (done === 0) {
        assert.ok(session.needed > input.length - at, 'it must ask for more than it has');
        break;
      }
      at += done;
    }
    input = input.subarray(at);
  }
  return taken(out).toString('latin1');
}

const script = Buffer.from(
  'set a 5 0 10\r\n01234\r\n789\r\nget a\r\nget a b\r\nappend a 0 0 2\r\nxy\r\nget a\r\nincr a 1\r\n' +
    'set big 0 0 2000000\r\n' +
    'z'.repeat(300) +
    '\r\n',
  'latin1',
);

describe('gets with blanks and long keys', () => {
  const count = (name: 'cmd_get' | 'get_hits') => counters.total(name);
  const long = 'k'.repeat(251);
  for (const [line, answer, lookups] of [
    ['get a \r\n', 'VALUE a 0 1\r\nx\r\nEND\r\n', 1],
    ['get a  a\r\n', 'VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n', 2],
    ['get a\n', 'VALUE a 0 1\r\nx\r\nEND\r\n', 1],
    ['get  a\r\n', 'VALUE a 0 1\r\nx\r\nEND\r\n', 1],
    [`get a ${long}\r\n`, 'CLIENT_ERROR bad command line format\r\n', 1],
    [`get ${long} a\r\n`, 'CLIENT_ERROR bad command line format\r\n', 0],
    ['get a a a \r\n', `${'VALUE a 0 1\r\nx\r\n'.repeat(3)}END\r\n`, 3],
  ] as const)
    it(JSON.stringify(line.slice(0, 20)), () => {
      const before = count('cmd_get');
      const got = feed([Buffer.from(`set a 0 0 1\r\nx\r\n${line}set b 0 0 1\r\ny\r\n`)]);
      assert.equal(got, `STORED\r\n${answer}STORED\r\n`);
      assert.equal(count('cmd_get') - before, lookups);
    });

  it('an error behind many answers ends the line', () => {
    const value = 'v'.repeat(300_000);
    const got = feed([
      Buffer.from(`set big 0 0 300000\r\n${value}\r\nget big ${long}\r\nset c 0 0 1\r\nz\r\n`),
    ]);
    assert.match(got, /^STORED\r\nVALUE big 0 300000\r\nv+\r\nCLIENT_ERROR [a-z ]+\r\nSTORED\r\n$/);
  });
});

describe('input in pieces', () => {
  const whole = feed([script]);

  it('is understood whole', () => {
    assert.match(whole, /^STORED\r\nVALUE a 5 10\r\n01234\r\n789\r\nEND\r\n/);
    assert.match(whole, /VALUE a 5 12\r\n01234\r\n789xy\r\nEND\r\n/);
    assert.match(whole, /SERVER_ERROR object too large for cache\r\n$/);
  });

  it('cut in two at every byte', () => {
    for (let at = 1; at < script.length; at++)
      assert.equal(feed([script.subarray(0, at), script.subarray(at)]), whole, `cut at ${at}`);
  });

  it('byte by byte', () => {
    assert.equal(feed([...script].map((byte) => Buffer.from([byte]))), whole);
  });
});

describe('Tokens', () => {
  const tokens = new Tokens();
  const split = (line: string) => {
    const bytes = Buffer.from(line, 'latin1');
    tokens.split(new Memory(bytes), 0, bytes.length);
  };

  it('splits at blanks and counts', () => {
    split('  set  key 1 ');
    assert.deepEqual(
      [tokens.count, tokens.text(0), tokens.text(1), tokens.text(2)],
      [3, 'set', 'key', '1'],
    );
    split('x '.repeat(40));
    assert.equal(tokens.count, 40);
    split('');
    assert.equal(tokens.count, 0);
  });

  it('reads numbers strictly', () => {
    split('12 -5 1x 18446744073709551615 18446744073709551616 - 007');
    assert.equal(tokens.unsigned(0), 12);
    assert.equal(tokens.unsigned(1), -1);
    assert.equal(tokens.signed(1), -5);
    assert.ok(Number.isNaN(tokens.signed(2)));
    assert.equal(tokens.unsigned64(3), 18446744073709551615n);
    assert.equal(tokens.unsigned64(4), undefined);
    assert.ok(Number.isNaN(tokens.signed(5)));
    assert.equal(tokens.unsigned(6), 7);
    assert.equal(tokens.unsigned(7), -1);
  });
});

describe('Output', () => {
  it('writes numbers of every size', () => {
    const out = new Output();
    out.number64(-1, -1);
    out.byte(32);
    out.number64(1, 0);
    assert.equal(taken(out).toString(), '18446744073709551615 4294967296');
  });

  it('grows, and lets go of what a huge response took', () => {
    const out = new Output();
    for (let i = 0; i < 3000; i++) out.line('x'.repeat(1000));
    assert.equal(taken(out).length, 3000 * 1002);
    assert.ok(out.memory.bytes.length <= 64 * 1024);
  });
});

describe('the command line', () => {
  it('has memcached’s names and defaults', () => {
    assert.deepEqual(parseOptions([], '1'), {
      tcpPort: 11211,
      udpPort: 0,
      addresses: ['127.0.0.1'],
      unixSocket: undefined,
      unixMode: 0o700,
      workers: 'cpu',
      megabytes: 64,
      itemSize: 2 ** 20,
      evict: true,
      verbose: 0,
    });
    assert.deepEqual(
      parseOptions(
        [
          '-p',
          '1',
          '-U',
          '2',
          '-l',
          '::1,127.0.0.2',
          '-l',
          '0.0.0.0',
          '-t',
          '3',
          '-m',
          '100',
          '-I',
          '64k',
          '-M',
          '-vv',
        ],
        '1',
      ),
      {
        tcpPort: 1,
        udpPort: 2,
        addresses: ['::1', '127.0.0.2', '0.0.0.0'],
        unixSocket: undefined,
        unixMode: 0o700,
        workers: 3,
        megabytes: 100,
        itemSize: 65536,
        evict: false,
        verbose: 2,
      },
    );
    const local = parseOptions(['-s', '/run/m', '-a', '0770', '-p', '1'], '1');
    assert.ok(typeof local === 'object');
    assert.deepEqual(
      [local.unixSocket, local.unixMode, local.tcpPort, local.udpPort],
      ['/run/m', 0o770, 0, 0],
    );
    assert.equal(parseOptions(['-h'], '1'), usage);
    assert.match(parseOptions(['-V'], '7') as string, /7/);
  });

  for (const args of [
    ['-p', 'x'],
    ['-p', '65536'],
    ['-t', '0'],
    ['-m', '0'],
    ['-I', '1'],
    ['-I', '129m'],
    ['-z'],
    ['-a', '888'],
    ['extra'],
    ['-p', '0'],
    ['-m', '1', '-I', '1m'],
  ])
    it(`refuses ${args.join(' ')}`, () => {
      assert.throws(() => parseOptions(args, '1'), UsageError);
    });
});
