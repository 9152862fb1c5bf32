// The protocol over bytes, without sockets. The answers do not depend on how the input is cut.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Memory } from '../../examples/memcached/store/memory.js';
import { ItemView } from '../../examples/memcached/store/item-view.js';
import { Shard } from '../../examples/memcached/store/shard.js';
import type { Rows } from '../../examples/memcached/protocol/lookahead.js';
import { Output } from '../../examples/memcached/protocol/output.js';
import { Protocol } from '../../examples/memcached/protocol/protocol.js';
import { Session } from '../../examples/memcached/protocol/session.js';
import { Tokens } from '../../examples/memcached/protocol/tokens.js';
import { type Options, parseOptions, usage, UsageError } from '../../examples/memcached/options.js';
import { makeEnvironment } from '../helpers/protocol.js';
import { randomNumbers } from '../helpers/random.js';

const out = new Output();
const environment = makeEnvironment('-m', '4', '-I', '1m');
const { store, counters } = environment;
const protocol = new Protocol(environment, out);

/** Takes what has been written out of the output. */
function taken(from: Output): Buffer {
  const bytes = Buffer.from(from.memory.bytes.subarray(from.begin, from.end));
  from.rewind();
  return bytes;
}

/** Feeds pieces as a socket would, and honours session.needed. */
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
  'set a 5 0 10\r\n01234\r\n789\r\nget a\r\nget a b\r\n' +
    'append a 0 0 2\r\nxy\r\nget a\r\nincr a 1\r\n' +
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

// Two blanks behind the command's name make the request one that is read word by word.
describe('a request in its usual form is served as in any other', () => {
  const key = 'k'.repeat(250);
  const data =
    'set n 0 0 2\r\n41\r\nset full 0 0 2\r\n99\r\nset word 0 0 1\r\nx\r\n' +
    `set ${key} 3 0 1\r\n7\r\n`;
  const counted = ['incr_hits', 'incr_misses', 'decr_hits', 'decr_misses', 'delete_hits'] as const;
  const more = ['delete_misses', 'cmd_set', 'cmd_get', 'cas_hits', 'cas_misses'] as const;
  const all = [...counted, ...more, 'cas_badval', 'get_hits', 'get_misses'] as const;
  const totals = () => all.map((name) => counters.total(name));

  /** The answers to the request, and what it counts. */
  function serve(request: string): [string, number[]] {
    const before = totals();
    const then = 'gets n full word\r\n';
    const answers = feed([Buffer.from(`${data}${request}${then}`)]);
    const [first, ...rest] = answers.slice('STORED\r\n'.length * 4).split(/ \d+\r\n/);
    assert.ok(first !== undefined && rest.length > 0, answers);
    return [[first, ...rest].join(), totals().map((total, i) => total - before[i]!)];
  }

  const numbers = ['1', '0', '7', '999999999', '1000000000', '18446744073709551616', '-1', '', 'x'];
  const casNumbers = ['1', '999999999999999', '9999999999999999', '18446744073709551615', '', '1x'];
  const ends = ['\r\n', '\n', ' \r\n', ' noreply\r\n', '\0\r\n', '\r\r\n'];
  const requests = [
    ...['incr', 'decr'].flatMap((name) =>
      ['n', 'full', 'word', 'absent', key, `${key}k`, ''].flatMap((k) =>
        numbers.map((number) => [name, ` ${k} ${number}`] as const),
      ),
    ),
    ...['n', 'absent', key, `${key}k`, '', 'n 0', 'n noreply', 'n x'].map(
      (words) => ['delete', ` ${words}`] as const,
    ),
    ...['n', 'absent'].flatMap((k) =>
      casNumbers.map((number) => ['cas', ` ${k} 1 0 1 ${number}`] as const),
    ),
    ...['n', 'absent', key, `${key}k`, 'n word', 'n absent full'].map(
      (words) => ['get', ` ${words}`] as const,
    ),
  ];
  for (const [name, words] of requests)
    it(JSON.stringify(`${name}${words}`.slice(0, 40)), () => {
      for (const end of ends) {
        const value = name === 'cas' ? 'v\r\n' : '';
        const usual = serve(`${name}${words}${end}${value}`);
        const other = serve(`${name} ${words}${end}${value}`);
        assert.deepEqual(usual, other, JSON.stringify(end));
      }
    });

  it('cas stores over the number that gets has said, and over no other', () => {
    feed([Buffer.from('set n 0 0 2\r\n41\r\n')]);
    const session = new Session();
    const ask = (request: string) => {
      const bytes = Buffer.from(request);
      assert.equal(protocol.execute(new Memory(bytes), 0, bytes.length, session), bytes.length);
      return taken(out).toString('latin1');
    };
    const unique = / (\d+)\r\n41/.exec(ask('gets n\r\n'))![1]!;
    assert.equal(ask(`cas n 0 0 2 ${Number(unique) + 1}\r\n42\r\n`), 'EXISTS\r\n');
    assert.equal(ask(`cas n 0 0 2 ${unique}\r\n42\r\n`), 'STORED\r\n');
    assert.equal(ask(`cas n 0 0 2 ${unique} noreply\r\n43\r\n`), '');
    assert.equal(ask('set n 0 0 2\r\n44\r\n'), 'STORED\r\n', 'a set compares nothing');
    assert.equal(ask('get n\r\n'), 'VALUE n 0 2\r\n44\r\nEND\r\n');
  });

  it('also where the input ends within the request behind it', () => {
    const requests = ['incr n 1\r\n', 'delete word\r\n', 'get n\r\n', 'incr n 1\r\n'];
    const input = Buffer.from(`${data}${requests.join('')}`);
    const whole = feed([input]);
    for (let at = data.length; at < input.length; at++)
      assert.equal(feed([input.subarray(0, at), input.subarray(at)]), whole, `cut at ${at}`);
  });
});

describe('a get line of any length', () => {
  const keys = Array.from({ length: 80_000 }, (_, i) => `absent-key-${i}`);
  /** Serves the line in pieces; returns the most bytes that were kept between two of them. */
  function serve(line: string, piece: number): { answer: string; kept: number } {
    const bytes = Buffer.from(line, 'latin1');
    const session = new Session();
    let input = Buffer.alloc(0);
    let kept = 0;
    for (let from = 0; from < bytes.length; from += piece) {
      input = Buffer.concat([input, bytes.subarray(from, from + piece)]);
      let at = 0;
      for (let done = 1; done > 0 && at < input.length && !session.closing; at += done)
        done = protocol.execute(new Memory(input), at, input.length, session);
      input = input.subarray(at);
      kept = Math.max(kept, input.length);
    }
    const answer = taken(out).toString('latin1');
    return { answer: session.closing ? `${answer}<closed>` : answer, kept };
  }

  it('80,000 absent keys are answered by END, in bounded memory', () => {
    for (const piece of [1000, 4096, 65536, 2 ** 24]) {
      const { answer, kept } = serve(`get ${keys.join(' ')}\r\n`, piece);
      assert.equal(answer, 'END\r\n');
      assert.ok(kept <= 2048, `${kept} bytes kept with pieces of ${piece}`);
    }
  });

  it('its hits are found wherever it is cut', () => {
    store.forEach((shard) => shard.clear());
    const sets = serve('set a 0 0 1\r\nx\r\nset b 7 0 2\r\nyz\r\n', 2 ** 20);
    assert.equal(sets.answer, 'STORED\r\nSTORED\r\n');
    const line = `get a ${keys.slice(0, 300).join(' ')} b  a\r\nget b\r\n`;
    const expected = 'VALUE a 0 1\r\nx\r\nVALUE b 7 2\r\nyz\r\nVALUE a 0 1\r\nx\r\nEND\r\n';
    for (let piece = 2100; piece < 2200; piece++)
      assert.equal(serve(line, piece).answer, `${expected}VALUE b 7 2\r\nyz\r\nEND\r\n`);
  });

  it('a key that is too long is an error, and the next line is served', () => {
    const long = 'k'.repeat(251);
    const line = `gets ${keys.slice(0, 300).join(' ')} ${long} ${keys.join(' ')}\r\nversion\r\n`;
    assert.equal(
      serve(line, 3000).answer,
      'CLIENT_ERROR bad command line format\r\nVERSION 1.6.18\r\n',
    );
  });

  it('other lines may not be that long, nor may a single key', () => {
    assert.equal(serve('x'.repeat(3000), 3000).answer, '<closed>');
    assert.equal(serve(`get ${'x'.repeat(3000)}`, 3000).answer, '<closed>');
  });
});

describe('the client’s flags', () => {
  const large = 'l'.repeat(100_000);
  for (const flags of [0, 7, 65_536, 2 ** 31, 2 ** 32 - 1])
    it(`${flags}: of small and large items, also once they are appended to`, () => {
      const set = (key: string, value: string) =>
        `set ${key} ${flags} 0 ${value.length} noreply\r\n${value}\r\n`;
      const read = 'mg small f\r\nmg large f\r\n';
      const append = (key: string) => `append ${key} 0 0 3 noreply\r\nabc\r\n`;
      const requests = [set('small', 'x'), set('large', large), read];
      requests.push(append('small'), append('large'), read, 'incr number 999\r\nmg number f\r\n');
      const answer = feed([Buffer.from(`${set('number', '5')}${requests.join('')}`)]);
      assert.equal(answer, `${`HD f${flags}\r\n`.repeat(4)}1004\r\nHD f${flags}\r\n`);
    });
});

describe('stats cachedump', () => {
  it('lists the items of a class, small and large', () => {
    const large = 'l'.repeat(100_000);
    const answer = feed([
      Buffer.from(
        `set small 0 0 3\r\nabc\r\nset large 0 0 100000\r\n${large}\r\n` +
          Array.from({ length: 60 }, (_, i) => `stats cachedump ${i + 1} 0\r\n`).join(''),
      ),
    ]);
    const items = answer.split('\r\n').filter((line) => line.startsWith('ITEM'));
    assert.deepEqual(items, ['ITEM small [3 b; 0 s]', 'ITEM large [100000 b; 0 s]']);
  });

  it('lists as many as asked for, of many', () => {
    const sets = Array.from({ length: 2000 }, (_, i) => `set k${i} 0 0 1 noreply\r\nx\r\n`);
    const answer = feed([
      Buffer.from(`${sets.join('')}stats cachedump 1 1500\r\nstats cachedump 1 0\r\n`),
    ]);
    const lists = answer.split('END\r\n').map((list) => list.split('ITEM ').length - 1);
    assert.deepEqual(lists, [1500, 2000, 0]);
  });
});

describe('listing the store', () => {
  /** The largest number of chunks that are looked at while the shard's lock is held. */
  let most = 0;

  /** Serves a line until it is answered, turn by turn, and counts the chunks. */
  function ask(line: string): string {
    const [shard] = store.shards as [Shard];
    const { view } = shard;
    let looked = 0;
    most = 0;
    shard.lock = () => {
      looked = 0;
      Shard.prototype.lock.call(shard);
    };
    shard.unlock = () => {
      most = Math.max(most, looked);
      Shard.prototype.unlock.call(shard);
    };
    view.isItem = (item) => {
      looked++;
      return ItemView.prototype.isItem.call(view, item);
    };
    const request = new Memory(Buffer.from(line));
    const session = new Session();
    protocol.slot = 0;
    while (protocol.execute(request, 0, line.length, session) === 0);
    protocol.slot = -1;
    for (const name of ['lock', 'unlock'] as const) Reflect.deleteProperty(shard, name);
    Reflect.deleteProperty(view, 'isItem');
    return taken(out).toString('latin1');
  }

  const items = 5000;
  const fill = () => {
    assert.equal(store.shards.length, 1);
    const sets = Array.from({ length: items }, (_, i) => `set k${i} 0 0 1 noreply\r\nx\r\n`);
    assert.equal(feed([Buffer.from(sets.join(''))]), '');
  };

  for (const [line, pattern] of [
    ['stats cachedump 1 0\r\n', /^ITEM /gm],
    ['lru_crawler metadump all\r\n', /^key=/gm],
    ['lru_crawler mgdump all\r\n', /^mg k/gm],
  ] as const)
    it(`${line.trim()} holds the lock for no more than 256 items`, () => {
      fill();
      assert.equal([...ask(line).matchAll(pattern)].length, items);
      assert.ok(most > 0 && most <= 256, `${most} at once`);
    });

  for (const kind of ['slabs', 'items', 'sizes'])
    it(`stats ${kind} looks at one item of a class at most`, () => {
      fill();
      assert.match(ask(`stats ${kind}\r\n`), /^STAT /);
      assert.ok(most <= 1, `${most} at once`);
    });
});

describe('gets behind a get', () => {
  const hit = 'VALUE a 0 1\r\nx\r\nEND\r\n';

  /** Serves what one call of execute() does. Returns the rest of the text. */
  function serveOnce(text: string, most: number): { rest: string; served: number; answer: string } {
    feed([Buffer.from('set a 0 0 1\r\nx\r\n')]);
    const input = new Memory(Buffer.from(text, 'latin1'));
    const done = protocol.execute(input, 0, text.length, new Session(), most);
    return { rest: text.slice(done), served: protocol.served, answer: taken(out).toString() };
  }

  for (const [text, most, rest, served, answer] of [
    ['get a\r\nget none\r\nget a\r\n', 20, '', 3, `${hit}END\r\n${hit}`],
    ['get a\r\nget a\r\nget a\r\n', 2, 'get a\r\n', 2, hit.repeat(2)],
    ['get a\r\nget a\r\n', 1, 'get a\r\n', 1, hit],
    ['get a\r\nget a\r\nversion\r\n', 20, 'version\r\n', 2, hit.repeat(2)],
    ['get a\r\nget a\r\nget a', 20, 'get a', 2, hit.repeat(2)],
    ['get a\r\nget ', 20, 'get ', 1, hit],
    ['get a\r\nget  a\r\n', 20, 'get  a\r\n', 1, hit],
    ['version\r\nget a\r\n', 20, 'get a\r\n', 1, 'VERSION'],
  ] as const)
    it(`${JSON.stringify(text)}, at most ${most}`, () => {
      const before = counters.total('cmd_get');
      const got = serveOnce(text, most);
      assert.deepEqual([got.rest, got.served], [rest, served]);
      assert.ok(answer === 'VERSION' ? got.answer.startsWith(answer) : got.answer === answer);
      const gets = text.startsWith('get') ? served : 0;
      assert.equal(counters.total('cmd_get') - before, gets);
    });

  it('those behind an END for which the output has grown are answered there', () => {
    feed([Buffer.from('set a 0 0 1\r\nx\r\n')]);
    const out = new Output();
    const misses = Math.ceil(out.memory.bytes.length / 'END\r\n'.length);
    const text = `${'get none\r\n'.repeat(misses)}get a\r\n`;
    const input = new Memory(Buffer.from(text, 'latin1'));
    new Protocol(environment, out).execute(input, 0, text.length, new Session(), misses + 1);
    assert.ok(taken(out).toString() === 'END\r\n'.repeat(misses) + hit);
  });

  it('a key that is too long takes back the answers of its own line', () => {
    feed([Buffer.from('set a 0 0 1\r\nx\r\n')]);
    const text = `get a\r\nget a ${'k'.repeat(251)}\r\n`;
    const input = new Memory(Buffer.from(text, 'latin1'));
    const session = new Session();
    for (let at = 0, done = 1; done > 0 && at < text.length; at += done)
      done = protocol.execute(input, at, text.length, session, 20);
    assert.equal(taken(out).toString(), `${hit}CLIENT_ERROR bad command line format\r\n`);
  });
});

describe('Lookahead', () => {
  const { lookahead } = protocol;

  /** A batch of these rows, one behind the other in one memory. */
  function batchOf(texts: readonly string[], head = 0) {
    const input = new Memory(Buffer.from(texts.join(''), 'latin1'));
    const lengths = texts.map((text) => text.length);
    const offsets = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, n) => sum + n, 0));
    const rows: Rows = {
      count: texts.length,
      offset: (i) => offsets[i]!,
      length: (i) => lengths[i]!,
    };
    return { input, rows, head };
  }

  /** Serves the batch as the transports do. Returns each row's answers. */
  function serve(
    { input, rows, head }: ReturnType<typeof batchOf>,
    ahead: boolean,
    most = 1,
  ): string[] {
    if (ahead) lookahead.open(input);
    const answers = [];
    for (let i = 0, next = ahead ? 0 : -1; i < rows.count; i++) {
      if (i === next) next = lookahead.rows(rows, i, head);
      const session = new Session();
      const end = rows.offset(i) + rows.length(i);
      for (let at = rows.offset(i) + head, done = 1; done > 0 && at < end; at += done)
        done = protocol.execute(input, at, end, session, most);
      answers.push(taken(out).toString('latin1'));
    }
    if (ahead) lookahead.close();
    return answers;
  }

  it('reads no byte behind the input, wherever that ends', () => {
    const text = 'get a\r\nget b a none\r\nget b\r\nset a 0 0 1\r\nx\r\n';
    for (const line of [text, 'set a 0 0 1\r\nx\r\n', 'delete a\r\n', 'mg a v\r\n', '\x80'])
      for (let length = 0; length <= line.length; length++) {
        const bytes = Buffer.allocUnsafeSlow(length);
        bytes.write(line, 'latin1');
        lookahead.open(new Memory(bytes));
        lookahead.rows({ count: 1, offset: () => 0, length: () => length }, 0, 0);
        lookahead.close();
      }
  });

  it('changes no answer', () => {
    const below = randomNumbers(1);
    const pick = <T>(from: readonly T[]): T => from[below(from.length)]!;
    const keys = ['a', 'b', 'c', 'none', 'k'.repeat(250), 'k'.repeat(251), '', 'a\0b', '\x80'];
    const request = () => {
      const key = pick(keys);
      const others = Array.from({ length: pick([0, 1, 40]) }, () => pick(keys));
      return pick([
        `get ${[key, ...others].join(' ')}${pick(['\r\n', '\n', ' \r\n'])}`,
        `gat 100 ${[key, ...others].join(' ')}\r\n`,
        `set ${key} ${pick([0, 70])} 0 2\r\n${pick(['get ', 'xy\r\n'])}`,
        `incr ${key} 1\r\n`,
        `delete ${key}\r\n`,
        `mg ${key} v\r\n`,
        pick(['version\r\n', 'get ', ' ', 'x', '\r\n', '']),
      ]);
    };
    for (let round = 0; round < 300; round++) {
      const head = pick([0, 8]);
      const texts = Array.from({ length: pick([1, 3, 40]) }, () => {
        const requests = Array.from({ length: pick([1, 2, 50]) }, request).join('');
        return 'h'.repeat(head) + requests.slice(0, requests.length - pick([0, 0, 1, 5]));
      });
      const batch = batchOf(texts, head);
      store.forEach((shard) => shard.clear());
      const plain = serve(batch, false);
      for (const most of [1, 20]) {
        store.forEach((shard) => shard.clear());
        assert.deepEqual(serve(batch, true, most), plain);
      }
    }
  });

  it('keeps nothing of a batch that has ended, in memory that the next one overwrites', () => {
    feed([Buffer.from('set a 0 0 1\r\nx\r\nset b 0 0 1\r\ny\r\n')]);
    const batch = batchOf(['get a\r\n', 'get a\r\n']);
    lookahead.open(batch.input);
    lookahead.rows(batch.rows, 0, 0);
    lookahead.close();
    batch.input.bytes.write('get b\r\nget b\r\n');
    const found = 'VALUE b 0 1\r\ny\r\nEND\r\n';
    assert.deepEqual(serve(batch, false), [found, found]);
    assert.deepEqual(serve(batch, true), [found, found]);
  });

  it('answers long lines of present and missing keys in their order', () => {
    const keys = Array.from({ length: 200 }, (_, i) => `k${i}`);
    const stored = keys.filter((_, i) => i % 3 !== 0);
    const sets = stored.map((key) => `set ${key} 0 0 1 noreply\r\nx\r\n`).join('');
    assert.equal(
      feed([Buffer.from(`${sets}get ${keys.join(' ')}\r\n`)]),
      `${stored.map((key) => `VALUE ${key} 0 1\r\nx\r\n`).join('')}END\r\n`,
    );
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
    assert.equal(tokens.count, 23, 'as many as memcached looks at');
    split('');
    assert.equal(tokens.count, 0);
  });

  it('reads numbers as memcached does', () => {
    split('12 -5 1x 18446744073709551615 18446744073709551616 - 007 4294967297 2147483648 \t+3\tx');
    assert.equal(tokens.unsigned(0), 12);
    assert.equal(tokens.unsigned(1), -1);
    assert.equal(tokens.signed(1), -5);
    assert.ok(Number.isNaN(tokens.signed(2)));
    assert.equal(tokens.unsigned64(3), 18446744073709551615n);
    assert.equal(tokens.unsigned64(4), undefined);
    assert.ok(Number.isNaN(tokens.signed(5)));
    assert.equal(tokens.unsigned(6), 7);
    assert.equal(tokens.unsigned(7), 1, 'the lower 32 bits');
    assert.equal(tokens.signed(8), -2147483648);
    assert.equal(tokens.unsigned(9), 3);
    assert.equal(tokens.unsigned(10), -1);
  });
});

describe('Output', () => {
  it('writes numbers of every size', () => {
    const out = new Output();
    out.number64(-1, -1);
    out.byte(32);
    out.number64(1, 0);
    out.byte(32);
    out.number64(0, -1);
    assert.equal(taken(out).toString(), '18446744073709551615 4294967296 4294967295');
  });

  it('writes base64 of every length', () => {
    const out = new Output();
    const bytes = Buffer.from([0, 255, 16, 131, 77, 250]);
    for (let length = 0; length <= bytes.length; length++) {
      out.base64(new Memory(bytes), 0, length);
      assert.equal(taken(out).toString(), bytes.toString('base64', 0, length));
    }
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
    const parse = (...args: string[]) => parseOptions(args, '1') as Options;
    const defaults = parse();
    assert.deepEqual(defaults, {
      tcpPort: 11211,
      udpPort: 0,
      addresses: ['127.0.0.1'],
      unixSocket: undefined,
      unixMode: 0o700,
      backlog: 1024,
      workers: undefined,
      connections: 1024,
      refuseConnections: false,
      requestsPerTurn: 20,
      idleTimeout: 0,
      megabytes: 64,
      itemSize: 2 ** 20,
      evict: true,
      trackSizes: false,
      lockMemory: false,
      largePages: false,
      credentials: undefined,
      shutdownCommand: false,
      flushCommand: true,
      debugTime: false,
      loopDelay: false,
      protocol: 'auto',
      sasl: false,
      prefixDelimiter: ':',
      tls: undefined,
      pidFile: undefined,
      user: undefined,
      steering: undefined,
      admin: undefined,
      syslog: false,
      verbose: 0,
    });
    const network = ['-p', '1', '-U', '2', '-l', '::1,127.0.0.2', '-l', '0.0.0.0', '-b', '9'];
    const limits = ['-t', '3', '-c', '7', '-R', '5', '-m', '100', '-I', '64k', '-M', '-k', '-L'];
    const commands = ['-A', '-F', '-D', '/', '-B', 'ascii', '-P', '/run/pid', '-vv'];
    const list =
      'idle_timeout=9,maxconns_fast,track_sizes,debugtime,loop_delay,steering=single,admin=/run/a,syslog';
    assert.deepEqual(parse(...network, ...limits, ...commands, '-o', list), {
      ...defaults,
      tcpPort: 1,
      udpPort: 2,
      addresses: ['::1', '127.0.0.2', '0.0.0.0'],
      backlog: 9,
      workers: 3,
      connections: 7,
      refuseConnections: true,
      requestsPerTurn: 5,
      idleTimeout: 9,
      megabytes: 100,
      itemSize: 65536,
      evict: false,
      lockMemory: true,
      largePages: true,
      trackSizes: true,
      shutdownCommand: true,
      flushCommand: false,
      debugTime: true,
      loopDelay: true,
      protocol: 'ascii',
      prefixDelimiter: '/',
      pidFile: '/run/pid',
      steering: 'single',
      admin: '/run/a',
      syslog: true,
      verbose: 2,
    });
    assert.equal(parse('-p', '-1').tcpPort, undefined, 'any');
    assert.deepEqual([parse('-U', '5').tcpPort, parse('-U', '5').udpPort], [5, 5]);
    assert.equal(parse('-Y', '/etc/users').credentials, '/etc/users');
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
    ['-B', 'http'],
    ['-S'],
    ['-S', '-Y', '/etc/users', '-B', 'auto'],
    ['-c', '0'],
    ['-c', '-1'],
    ['-R', '0'],
    ['-D', 'ab'],
    ['-o', 'no_such_thing'],
    ['-o', 'idle_timeout'],
    ['-Y', '/etc/users', '-U', '1'],
  ])
    it(`refuses ${args.join(' ')}`, () => {
      assert.throws(() => parseOptions(args, '1'), UsageError);
    });
});
