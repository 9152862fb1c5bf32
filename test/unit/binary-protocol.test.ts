// The binary protocol over bytes, without sockets. The answers do not depend on how the input is
// cut.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';

import { BinaryProtocol } from '../../examples/memcached/protocol/binary/binary-protocol.js';
import { Dialects } from '../../examples/memcached/protocol/dialects.js';
import { Output } from '../../examples/memcached/protocol/output.js';
import { Protocol } from '../../examples/memcached/protocol/protocol.js';
import { Session } from '../../examples/memcached/protocol/session.js';
import { Credentials } from '../../examples/memcached/shared/credentials.js';
import { Memory } from '../../examples/memcached/store/memory.js';
import {
  arithmeticExtras,
  type BinaryAnswer,
  binaryAnswers,
  type BinaryParts,
  binaryRequest,
  words,
} from '../helpers/binary.js';
import { makeEnvironment } from '../helpers/protocol.js';
import { randomNumbers } from '../helpers/random.js';

const environment = makeEnvironment('-m', '4', '-I', '1m');
const { store, counters } = environment;
const out = new Output();
const protocol = new BinaryProtocol(environment, out);
const text = new Protocol(environment, out);

const set = 0x01;
const flags = words(5, 0);
const never = 0xffffffff;

beforeEach(() => store.forEach((shard) => shard.clear()));

function taken(): Buffer {
  const bytes = Buffer.from(out.memory.bytes.subarray(out.begin, out.end));
  out.rewind();
  return bytes;
}

interface Run {
  bytes: Buffer;
  closed: boolean;
  /** Bytes that were kept between two pieces, at most. */
  kept: number;
}

/** Feeds pieces as a socket would, and honours session.needed. */
function feed(pieces: Buffer[], session = new Session(), to = protocol): Run {
  let input = Buffer.alloc(0);
  let kept = 0;
  for (const piece of pieces) {
    input = Buffer.concat([input, piece]);
    if (input.length < session.needed) continue;
    let at = 0;
    while (at < input.length && !session.closing) {
      const done = to.execute(new Memory(input), at, input.length, session);
      if (done === 0) {
        assert.ok(session.needed > input.length - at, 'it must ask for more than it has');
        break;
      }
      at += done;
    }
    input = input.subarray(at);
    kept = Math.max(kept, input.length);
  }
  return { bytes: taken(), closed: session.closing, kept };
}

/** The answers, and whether the connection ends. CAS numbers are left out. */
function ask(...requests: BinaryParts[]): (Omit<BinaryAnswer, 'cas'> | 'closed')[] {
  const { bytes, closed } = feed([Buffer.concat(requests.map(binaryRequest))]);
  const { answers, length } = binaryAnswers(bytes);
  assert.equal(length, bytes.length);
  const plain = answers.map(({ opcode, status, extras, key, value, opaque }) => ({
    opcode,
    status,
    extras,
    key,
    value,
    opaque,
  }));
  return closed ? [...plain, 'closed'] : plain;
}

function answer(opcode: number, parts: Partial<BinaryAnswer> = {}): Omit<BinaryAnswer, 'cas'> {
  return { opcode, status: 0, extras: '', key: '', value: '', opaque: 0, ...parts };
}

const errors: Record<number, string> = {
  1: 'Not found',
  2: 'Data exists for key.',
  3: 'Too large.',
  4: 'Invalid arguments',
  5: 'Not stored.',
  6: 'Non-numeric server-side value for incr or decr',
  0x20: 'Auth failure.',
  0x81: 'Unknown command',
};
const error = (opcode: number, status: number) =>
  answer(opcode, { status, value: errors[status]! });

const casOf = (parts: BinaryParts) =>
  binaryAnswers(feed([binaryRequest(parts)]).bytes).answers[0]!.cas;

describe('the bytes of', () => {
  it('a set and its get', () => {
    const { bytes } = feed([
      Buffer.from(
        '8001000308000000' +
          '0000000e' +
          'cafebabe' +
          '0000000000000000' +
          'deadbeef00000e10' +
          '666f6f' +
          '626172',
        'hex',
      ),
      Buffer.from(
        '8000000300000000' + '00000003' + '01020304' + '0000000000000000' + '666f6f',
        'hex',
      ),
    ]);
    const cas = bytes.toString('hex', 16, 24);
    assert.notEqual(cas, '0000000000000000');
    assert.equal(
      bytes.toString('hex'),
      `8101000000000000` +
        `00000000` +
        `cafebabe` +
        cas +
        `8100000004000000` +
        `00000007` +
        `01020304` +
        cas +
        'deadbeef' +
        '626172',
    );
  });

  it('a miss, and one with its key', () => {
    assert.equal(
      feed([binaryRequest({ opcode: 0x00, key: 'k', opaque: 7 })]).bytes.toString('hex'),
      `8100000000000001` +
        `00000009` +
        `00000007` +
        `0000000000000000` +
        Buffer.from('Not found').toString('hex'),
    );
    assert.equal(
      feed([binaryRequest({ opcode: 0x0c, key: 'k', opaque: 7 })]).bytes.toString('hex'),
      `810c000100000001` + `00000001` + `00000007` + `0000000000000000` + '6b',
    );
  });

  it('an increment', () => {
    const extras = arithmeticExtras(1n, 2n ** 63n, 0);
    const request = binaryRequest({ opcode: 0x05, key: 'n', extras });
    const { bytes } = feed([request, request]);
    const [first, second] = [bytes.subarray(0, 32), bytes.subarray(32)];
    assert.equal(first.toString('hex', 0, 16), '81050000000000000000000800000000');
    assert.equal(first.toString('hex', 24), '8000000000000000');
    assert.equal(second.toString('hex', 24), '8000000000000001');
    assert.notEqual(first.toString('hex', 16, 24), second.toString('hex', 16, 24));
  });
});

describe('the command', () => {
  it('get, getk, and quiet forms that leave out misses', () => {
    assert.deepEqual(
      ask(
        { opcode: set, key: 'a', extras: flags, value: 'x' },
        ...[0x00, 0x09, 0x0c, 0x0d].flatMap((opcode) => [
          { opcode, key: 'a', opaque: opcode },
          { opcode, key: 'b', opaque: opcode },
        ]),
        { opcode: 0x0a },
      ),
      [
        answer(set),
        answer(0x00, { extras: '00000005', value: 'x' }),
        error(0x00, 1),
        answer(0x09, { extras: '00000005', value: 'x', opaque: 0x09 }),
        answer(0x0c, { extras: '00000005', key: 'a', value: 'x', opaque: 0x0c }),
        answer(0x0c, { status: 1, key: 'b', opaque: 0x0c }),
        answer(0x0d, { extras: '00000005', key: 'a', value: 'x', opaque: 0x0d }),
        answer(0x0a),
      ],
    );
  });

  it('touch, gat and gatk', () => {
    const extras = words(100);
    assert.deepEqual(
      ask(
        { opcode: set, key: 'a', extras: flags, value: 'x' },
        ...[0x1c, 0x1d, 0x1e, 0x23, 0x24].flatMap((opcode) => [
          { opcode, key: 'a', extras },
          { opcode, key: 'b', extras },
        ]),
      ),
      [
        answer(set),
        answer(0x1c, { extras: '00000005' }),
        error(0x1c, 1),
        answer(0x1d, { extras: '00000005', value: 'x' }),
        error(0x1d, 1),
        answer(0x1e, { extras: '00000005', value: 'x' }),
        answer(0x23, { extras: '00000005', key: 'a', value: 'x' }),
        answer(0x23, { status: 1, key: 'b' }),
        answer(0x24, { extras: '00000005', key: 'a', value: 'x' }),
      ],
    );
  });

  it('set, add, replace, append, prepend: quiet forms answer errors alone', () => {
    const parts = { extras: flags, value: 'v' };
    assert.deepEqual(
      ask(
        { opcode: 0x03, key: 'a', ...parts },
        { opcode: 0x13, key: 'a', ...parts },
        { opcode: 0x0e, key: 'a', value: '>' },
        { opcode: 0x19, key: 'a', value: '>' },
        { opcode: 0x02, key: 'a', ...parts },
        { opcode: 0x02, key: 'a', ...parts },
        { opcode: 0x12, key: 'a', ...parts },
        { opcode: 0x11, key: 'a', ...parts },
        { opcode: 0x13, key: 'a', ...parts },
        { opcode: 0x19, key: 'a', value: '>' },
        { opcode: 0x1a, key: 'a', value: '<' },
        { opcode: 0x0e, key: 'a', value: '>' },
        { opcode: 0x0f, key: 'a', value: '<' },
        { opcode: 0x00, key: 'a' },
      ),
      [
        error(0x03, 1),
        error(0x13, 1),
        error(0x0e, 5),
        error(0x19, 5),
        answer(0x02),
        error(0x02, 2),
        error(0x12, 2),
        answer(0x0e),
        answer(0x0f),
        answer(0x00, { extras: '00000005', value: '<<v>>' }),
      ],
    );
  });

  it('delete', () => {
    assert.deepEqual(
      ask(
        { opcode: 0x04, key: 'a' },
        { opcode: 0x14, key: 'a' },
        { opcode: 0x11, key: 'a', extras: flags },
        { opcode: 0x14, key: 'a' },
        { opcode: 0x11, key: 'a', extras: flags },
        { opcode: 0x04, key: 'a' },
      ),
      [error(0x04, 1), error(0x14, 1), answer(0x04)],
    );
  });

  it('increment and decrement', () => {
    const change = (opcode: number, delta: bigint, initial = 0n, expiry = never) =>
      ({ opcode, key: 'n', extras: arithmeticExtras(delta, initial, expiry) }) as const;
    const number = (opcode: number, value: string) =>
      answer(opcode, { value: Buffer.from(value, 'hex').toString('latin1') });
    assert.deepEqual(
      ask(
        change(0x05, 1n),
        change(0x15, 1n),
        change(0x06, 1n, 10n, 0),
        change(0x06, 1n, 10n, 0),
        change(0x06, 10n),
        change(0x05, 2n ** 64n - 1n),
        change(0x05, 2n),
        change(0x15, 1n),
        change(0x16, 1n),
        { opcode: 0x11, key: 'n', extras: flags, value: 'text' },
        change(0x05, 1n),
        change(0x16, 1n),
      ),
      [
        error(0x05, 1),
        error(0x15, 1),
        number(0x06, '000000000000000a'),
        number(0x06, '0000000000000009'),
        number(0x06, '0000000000000000'),
        number(0x05, 'ffffffffffffffff'),
        number(0x05, '0000000000000001'),
        error(0x05, 6),
        error(0x16, 6),
      ],
    );
  });

  it('flush, now and later', () => {
    const extras = words(100);
    assert.deepEqual(
      ask(
        { opcode: 0x11, key: 'a', extras: flags },
        { opcode: 0x08 },
        { opcode: 0x00, key: 'a' },
        { opcode: 0x11, key: 'a', extras: flags },
        { opcode: 0x18, extras },
        { opcode: 0x00, key: 'a' },
      ),
      [answer(0x08), error(0x00, 1), answer(0x00, { extras: '00000005' })],
    );
  });

  it('version, verbosity, quit', () => {
    assert.deepEqual(
      ask({ opcode: 0x0b }, { opcode: 0x1b, extras: words(0) }, { opcode: 0x07 }, { opcode: 0x0a }),
      [answer(0x0b, { value: '1.6.18' }), answer(0x1b), answer(0x07), 'closed'],
    );
    assert.deepEqual(ask({ opcode: 0x17 }), ['closed']);
  });

  it('stat', () => {
    const kinds = (key: string) => ask({ opcode: 0x10, key }) as Omit<BinaryAnswer, 'cas'>[];
    for (const kind of ['', 'settings', 'items', 'slabs', 'sizes', 'conns']) {
      const answers = kinds(kind);
      assert.deepEqual(answers.at(-1), answer(0x10), kind);
      assert.ok(answers.slice(0, -1).every(({ key, opcode }) => key !== '' && opcode === 0x10));
    }
    assert.equal(kinds('').find(({ key }) => key === 'version')?.value, '1.6.18');
    assert.deepEqual(kinds('nonsense'), [error(0x10, 1)]);
    ask({ opcode: 0x10, key: 'detail on' }, { opcode: 0x00, key: 'p:a' });
    assert.deepEqual(kinds('detail dump'), [
      answer(0x10, { key: 'detailed', value: 'PREFIX p get 1 hit 0 set 0 del 0\r\nEND\r\n' }),
      answer(0x10),
    ]);
    ask({ opcode: 0x10, key: 'detail off' });
    assert.deepEqual(kinds('reset'), [answer(0x10)]);
    assert.equal(counters.total('cmd_get'), 0);
  });

  it('that is unknown: its body is discarded', () => {
    for (const opcode of [0x1f, 0x25, 0x30, 0x91, 0xff])
      assert.deepEqual(
        ask({ opcode, key: 'key', extras: words(1), value: 'value' }, { opcode: 0x0a }),
        [error(opcode, 0x81), answer(0x0a)],
      );
  });
});

describe('a CAS number', () => {
  it('lets one of two writers win', () => {
    const cas = casOf({ opcode: set, key: 'a', extras: flags, value: '1' });
    for (const opcode of [0x01, 0x02, 0x03, 0x0e, 0x0f, 0x04, 0x05]) {
      const extras =
        opcode === 0x05
          ? arithmeticExtras(1n, 0n, never)
          : opcode <= 0x03
            ? flags
            : Buffer.alloc(0);
      const value = opcode === 0x04 || opcode === 0x05 ? '' : '1';
      const wrong = { opcode, key: 'a', extras, value, cas: cas + 1000n };
      assert.deepEqual(ask(wrong), [error(opcode, 2)], `opcode ${opcode}`);
    }
    const next = casOf({ opcode: set, key: 'a', extras: flags, value: '2', cas });
    assert.notEqual(next, cas);
    assert.equal(casOf({ opcode: 0x00, key: 'a' }), next);
    assert.deepEqual(ask({ opcode: set, key: 'a', extras: flags, cas }), [error(set, 2)]);
    assert.deepEqual(ask({ opcode: set, key: 'b', extras: flags, cas }), [error(set, 1)]);
    const joined = casOf({ opcode: 0x0e, key: 'a', value: '3', cas: next });
    assert.equal(casOf({ opcode: 0x00, key: 'a' }), joined);
    assert.deepEqual(ask({ opcode: 0x04, key: 'a', cas: joined }), [answer(0x04)]);
  });

  it('is that of the text protocol', () => {
    const cas = casOf({ opcode: set, key: 'a', extras: flags, value: 'x' });
    const line = Buffer.from('gets a\r\n');
    text.execute(new Memory(line), 0, line.length, new Session());
    assert.equal(taken().toString(), `VALUE a 5 1 ${cas}\r\nx\r\nEND\r\n`);
  });
});

describe('what is malformed', () => {
  const invalid = (opcode: number) => [error(opcode, 4), 'closed'];
  for (const [what, parts] of [
    ['a get without a key', { opcode: 0x00 }],
    ['a get with extras', { opcode: 0x00, key: 'a', extras: words(1) }],
    ['a get with a value', { opcode: 0x00, key: 'a', value: 'x' }],
    ['a set without extras', { opcode: 0x01, key: 'a', value: 'x' }],
    ['a set without a key', { opcode: 0x01, extras: flags, value: 'x' }],
    ['an append with extras', { opcode: 0x0e, key: 'a', extras: flags, value: 'x' }],
    ['a touch without extras', { opcode: 0x1c, key: 'a' }],
    ['a gat with a value', { opcode: 0x1d, key: 'a', extras: words(1), value: 'x' }],
    ['an increment without extras', { opcode: 0x05, key: 'a' }],
    ['a noop with a key', { opcode: 0x0a, key: 'a' }],
    ['a flush with half its extras', { opcode: 0x08, extras: Buffer.alloc(2) }],
    ['a version with a value', { opcode: 0x0b, value: 'x' }],
    ['a key that is too long', { opcode: 0x00, key: 'k'.repeat(251) }],
    ['a key of 65,535 bytes', { opcode: 0x00, key: 'k'.repeat(65535) }],
  ] as [string, BinaryParts][])
    it(`${what} ends the connection`, () =>
      assert.deepEqual(ask(parts, { opcode: 0x0a }), invalid(parts.opcode)));

  it('a body shorter than key and extras ends it', () => {
    const request = binaryRequest({ opcode: set, key: 'a', extras: flags, value: 'x' });
    request.writeUInt32BE(8, 8);
    const { bytes, closed } = feed([request]);
    assert.ok(closed);
    assert.equal(binaryAnswers(bytes).answers[0]!.status, 0x81);
  });

  it('a body of 4 GiB ends it', () => {
    const request = binaryRequest({ opcode: set, key: 'a', extras: flags });
    request.writeUInt32BE(0xffffffff, 8);
    const { bytes, closed } = feed([request]);
    assert.ok(closed);
    assert.equal(binaryAnswers(bytes).answers[0]!.status, 4);
  });

  it('another magic byte ends it without an answer', () => {
    const { bytes, closed } = feed([binaryRequest({ opcode: 0x0a }), Buffer.from('get a\r\n')]);
    assert.ok(closed);
    assert.equal(binaryAnswers(bytes).answers.length, 1);
  });

  it('a value that is too large is discarded as it comes, and the old one goes', () => {
    feed([binaryRequest({ opcode: set, key: 'a', extras: flags, value: 'old' })]);
    const large = binaryRequest({
      opcode: set,
      key: 'a',
      extras: flags,
      value: 'x'.repeat(2 ** 21),
    });
    const pieces = Array.from({ length: 2 ** 21 / 8192 + 1 }, (_, i) =>
      large.subarray(i * 8192, (i + 1) * 8192),
    );
    const { bytes, kept, closed } = feed([...pieces, binaryRequest({ opcode: 0x00, key: 'a' })]);
    assert.ok(!closed && kept < 8192, `${kept} bytes kept`);
    assert.deepEqual(
      binaryAnswers(bytes).answers.map(({ status }) => status),
      [3, 1],
    );
  });
});

describe('keys', () => {
  it('of any bytes are kept apart, and text lists none that it could not show', () => {
    const keys = ['a b', 'a\r\nb', '\0', '\xff\x80', ' ', 'plain'];
    for (const key of keys)
      assert.deepEqual(ask({ opcode: set, key, extras: flags, value: key }), [answer(set)]);
    for (const key of keys)
      assert.deepEqual(ask({ opcode: 0x0c, key }), [
        answer(0x0c, { extras: '00000005', key, value: key }),
      ]);
    let listed = '';
    for (let c = 1; c < 64; c++) {
      const line = Buffer.from(`stats cachedump ${c} 0\r\n`);
      text.execute(new Memory(line), 0, line.length, new Session());
      listed += taken().toString('latin1').replace('END\r\n', '');
    }
    const found = [...listed.matchAll(/ITEM (\S+) /g)].map(([, key]) => key);
    assert.deepEqual(found.sort(), ['plain', '\xff\x80'].sort());
    const line = Buffer.from(`mg ${Buffer.from('a b').toString('base64')} b k v\r\n`);
    text.execute(new Memory(line), 0, line.length, new Session());
    assert.equal(taken().toString(), 'VA 3 kYSBi b\r\na b\r\n');
  });
});

describe('SASL', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'sasl-'));
  after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'users');
  writeFileSync(file, 'me:secret\n');
  const credentials = new Credentials();
  credentials.load(file);
  const guarded = new BinaryProtocol({ ...environment, credentials }, out);
  const statuses = (session: Session, ...requests: BinaryParts[]) => {
    const { bytes, closed } = feed([Buffer.concat(requests.map(binaryRequest))], session, guarded);
    const answers = binaryAnswers(bytes).answers.map(({ status }) => status);
    return closed ? [...answers, 'closed'] : answers;
  };
  const login = (value: string, opcode = 0x21, key = 'PLAIN') => ({ opcode, key, value });

  it('lists PLAIN; without -Y it is unknown', () => {
    const { bytes } = feed([binaryRequest({ opcode: 0x20 })], new Session(), guarded);
    assert.equal(binaryAnswers(bytes).answers[0]!.value, 'PLAIN');
    for (const opcode of [0x20, 0x21, 0x22])
      assert.deepEqual(ask({ opcode, key: opcode === 0x20 ? '' : 'PLAIN' }, { opcode: 0x0a }), [
        error(opcode, 0x81),
        answer(0x0a),
      ]);
  });

  it('lets no command but version pass before', () => {
    assert.deepEqual(statuses(new Session(), { opcode: 0x0b }), [0]);
    for (const opcode of [0x00, 0x0a, 0x10, 0x09, 0x30])
      assert.deepEqual(statuses(new Session(), { opcode, key: 'a' }), [0x20, 'closed']);
  });

  it('accepts the right password alone', () => {
    const noop = { opcode: 0x0a };
    assert.deepEqual(statuses(new Session(), login('\0me\0secret'), noop), [0, 0]);
    for (const wrong of ['\0me\0wrong', '\0me\0', '\0\0secret', 'me secret', '\0me:secret\0', 'x'])
      assert.deepEqual(statuses(new Session(), login(wrong), noop), [0x20, 0x20, 'closed']);
    const other = login('\0me\0secret', 0x21, 'CRAM-MD5');
    assert.deepEqual(statuses(new Session(), other, noop), [0x20, 0x20, 'closed']);
    const session = new Session();
    assert.deepEqual(statuses(session, login('\0me\0secret'), login('\0me\0wrong'), noop), [
      0,
      0x20,
      0x20,
      'closed',
    ]);
  });

  it('takes the value in a second step', () => {
    assert.deepEqual(
      statuses(new Session(), login(''), login('\0me\0secret', 0x22), { opcode: 0x0a }),
      [0x21, 0, 0],
    );
    const step = login('\0me\0secret', 0x22);
    assert.deepEqual(statuses(new Session(), step), [0x20], 'no first step');
    assert.deepEqual(
      statuses(new Session(), login(''), login('x', 0x22), step),
      [0x21, 0x20, 0x20],
    );
  });

  it('refuses what is too long', () => {
    assert.deepEqual(
      statuses(
        new Session(),
        login('x'.repeat(5000)),
        login('\0me\0secret', 0x21, 'M'.repeat(33)),
        login('\0me\0secret'),
      ),
      [0x82, 4, 0],
    );
  });
});

describe('the first byte', () => {
  const of = (...args: string[]) => {
    const dialects = new Dialects(makeEnvironment('-m', '4', ...args), out);
    return [0x80, 0x67, 0x81, 0].map((byte) => {
      const dialect = dialects.of(byte);
      return dialect === dialects.text ? 'text' : dialect === dialects.binary ? 'binary' : 'none';
    });
  };
  it('chooses the protocol, and -B which there are', () => {
    assert.deepEqual(of(), ['binary', 'text', 'text', 'text']);
    assert.deepEqual(of('-B', 'ascii'), ['none', 'text', 'text', 'text']);
    assert.deepEqual(of('-B', 'binary'), ['binary', 'none', 'none', 'none']);
    assert.deepEqual(of('-S', '-Y', 'file'), ['binary', 'none', 'none', 'none']);
  });
});

describe('random requests', () => {
  const seed = Number(process.env['BINARY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const random = randomNumbers(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random(256)));

  /** A request. In one of eight, a byte of the header is random. */
  function request(opaque: number): Buffer {
    const opcode = random(20) === 0 ? random(256) : random(0x25);
    const extras = pick([0, 0, 0, 4, 8, 8, 20, random(256)]);
    const key = pick(['', 'a', 'b', 'c', 'n', 'k'.repeat(random(252)), bytes(3)]);
    const value = pick(['', '', '1', '12', 'v'.repeat(random(3000))]);
    const built = binaryRequest({ opcode, key, value, extras: bytes(extras), opaque });
    if (random(8) === 0) built[random(24)] = random(256);
    return built;
  }

  it(`are answered alike however they are cut (BINARY_SEED=${seed})`, () => {
    for (let round = 0; round < 400; round++) {
      const stream = Buffer.concat(Array.from({ length: 1 + random(12) }, (_, i) => request(i)));
      const pieces: Buffer[] = [];
      for (let at = 0; at < stream.length;) {
        const length = pick([1, 7, 23, 24, 25, 100, 5000]);
        pieces.push(stream.subarray(at, at + length));
        at += length;
      }
      const runs = [[stream], pieces].map((input) => {
        store.forEach((shard) => shard.clear());
        environment.state.fields.fill(0, 4, 6); // verbosity and detail
        counters.reset();
        const run = feed(input);
        const { answers, length } = binaryAnswers(run.bytes);
        assert.equal(length, run.bytes.length, 'answers are whole');
        for (const { opaque, opcode } of answers)
          assert.ok(opaque >= 0 && opcode <= 0xff, 'each is the answer to a request');
        // CAS numbers grow from run to run, and statistics change.
        const plain = answers
          .filter(({ opcode }) => opcode !== 0x10)
          .map(({ cas, ...rest }) => ({ ...rest, cas: cas === 0n }));
        return { plain, closed: run.closed, kept: run.kept };
      });
      assert.deepEqual(runs[1]!.plain, runs[0]!.plain, `round ${round}`);
      assert.equal(runs[1]!.closed, runs[0]!.closed);
      assert.ok(runs[1]!.kept <= 2 ** 20 + 1024, 'no more than a value is kept');
    }
  });
});
