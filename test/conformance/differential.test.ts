// The same bytes to memcached and to the example: the same answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { skipWithout } from '../helpers/features.js';
import { RawClient, type Served, serveExample, serveMemcached } from '../helpers/memcached.js';
import { atMost } from '../helpers/wait.js';

const longKey = 'k'.repeat(250);
const tooLong = 'k'.repeat(251);
const megabyte = 'x'.repeat(1048577);

/** Each is sent whole on a connection of its own, to an empty store. */
const scripts: Record<string, string> = {
  'set and get': 'set a 5 0 3\r\nabc\r\nget a\r\nget a b a\r\nget b\r\n',
  'flags at their limits': 'set a 4294967295 0 1\r\nx\r\nget a\r\nset a -1 0 1\r\nx\r\n',
  'empty value': 'set a 0 0 0\r\n\r\nget a\r\n',
  'binary value': `set a 0 0 6\r\n\0\r\n\xff\n\r\r\nget a\r\n`,
  'bare newlines': 'set a 0 0 2\r\nab\r\nget a\nversion\n',
  'many blanks': 'set  a  0  0  1 \r\nx\r\nget   a  \r\n',
  'add, replace, append, prepend':
    'add a 1 0 1\r\nb\r\nadd a 1 0 1\r\nb\r\nreplace a 2 0 1\r\nc\r\nappend a 9 0 1\r\nd\r\n' +
    'prepend a 9 0 1\r\nb\r\nget a\r\nreplace n 0 0 1\r\nx\r\nappend n 0 0 1\r\nx\r\n' +
    'prepend n 0 0 1\r\nx\r\n',
  noreply:
    'set a 0 0 1 noreply\r\nx\r\nadd a 0 0 1 noreply\r\ny\r\nget a\r\nincr a 1 noreply\r\n' +
    'touch a 0 noreply\r\ndelete a noreply\r\nget a\r\nflush_all noreply\r\n' +
    'verbosity 1 noreply\r\n',
  'cas of nothing': 'cas a 0 0 1 5\r\nx\r\ncas a 0 0 1\r\nx\r\ncas a 0 0 1 x\r\nx\r\n',
  delete:
    'set a 0 0 1\r\nx\r\ndelete a\r\ndelete a\r\ndelete a 0\r\ndelete a 1\r\n' +
    'delete a b\r\ndelete\r\n' +
    'delete a 0 0 0\r\n',
  'incr and decr':
    'set a 0 0 2\r\n10\r\nincr a 5\r\ndecr a 6\r\nget a\r\ndecr a 100\r\nget a\r\n' +
    'incr a x\r\nincr a -1\r\n' +
    'incr n 1\r\ndecr n 1\r\nset b 0 0 3\r\nabc\r\nincr b 1\r\nincr a\r\n',
  'incr wraps at 64 bits':
    'set a 0 0 20\r\n18446744073709551615\r\nincr a 1\r\nget a\r\nset a 0 0 20\r\n' +
    '18446744073709551614\r\n' +
    'incr a 1\r\nget a\r\nincr a 18446744073709551616\r\nset a 0 0 1\r\n9\r\nincr a 1\r\nget a\r\n',
  touch:
    'set a 0 0 1\r\nx\r\ntouch a 100\r\ntouch n 100\r\ntouch a x\r\ntouch a\r\n' +
    'touch a -1\r\nget a\r\n',
  gat: 'set a 3 0 1\r\nx\r\ngat 100 a\r\ngat 100 a n a\r\ngat x a\r\ngat 0\r\ngat\r\n',
  'expired at once':
    'set a 0 -1 1\r\nx\r\nget a\r\nset a 0 100 1\r\nx\r\nget a\r\nset a 0 2592001 1\r\n' +
    'x\r\nget a\r\n',
  flush_all:
    'set a 0 0 1\r\nx\r\nflush_all\r\nget a\r\nflush_all 0\r\nflush_all x\r\n' +
    'flush_all -1\r\nflush_all 100\r\nflush_all 1 2 3\r\n',
  'wrong lines':
    'bogus\r\n\r\nget\r\nget \r\ngets\r\nset\r\nset a\r\nset a 0 0\r\n' +
    'set a 1 2 3 4 5 6\r\nGET a\r\nverbosity\r\n' +
    'verbosity x\r\nverbosity 2\r\nversion x\r\nshutdown\r\n',
  'numbers that are none':
    'set a x 0 1\r\nset a 0 x 1\r\nset a 0 0 x\r\nset a 0 0 -1\r\n' +
    'set a 0 99999999999999999999 1\r\n',
  'bad data chunk': 'set a 0 0 3\r\nabcdef\r\nset a 0 0 3\r\nab\r\nversion\r\nget a\r\n',
  'bad data chunk, no reply': 'set a 0 0 3 noreply\r\nabcd\r\nget a\r\n',
  'longest key': `set ${longKey} 0 0 1\r\nx\r\nget ${longKey}\r\ndelete ${longKey}\r\n`,
  // One command each: after a failed get, memcached drops the answers of what came in the same
  // read.
  'as many words as a meta command may have':
    `mg k${' v'.repeat(17)}\r\n` + `ma k${' v'.repeat(17)}\r\n`,
  'one more': `mg k${' v'.repeat(18)}\r\nma k${' v'.repeat(18)}\r\n`,
  'key too long: set': `set ${tooLong} 0 0 1\r\nx\r\n`,
  'key too long: get': `get ${tooLong}\r\n`,
  'key too long: gat': `gat 1 ${tooLong}\r\n`,
  'key too long: touch': `touch ${tooLong} 1\r\n`,
  'key too long: delete': `delete ${tooLong}\r\n`,
  'key too long: incr': `incr ${tooLong} 1\r\n`,
  'too large': `set a 0 0 1\r\nx\r\nset a 0 0 ${megabyte.length}\r\n${megabyte}\r\nget a\r\n`,
  'too large for add':
    `set a 0 0 1\r\nx\r\n` + `add a 0 0 ${megabyte.length}\r\n${megabyte}\r\nget a\r\n`,
  'append too large':
    `set a 0 0 10\r\n0123456789\r\n` + `append a 0 0 1048570\r\n${megabyte.slice(7)}\r\n`,
  'large value': `set a 0 0 1000000\r\n${'0123456789'.repeat(100_000)}\r\nget a\r\n`,
  'many keys': `set a 0 0 1\r\nx\r\nget ${'a n '.repeat(3000)}\r\n`,
  'quit ends it': 'version\r\nquit\r\nversion\r\n',
  'numbers with a sign':
    'set a +1 0 1\r\n5\r\nget a\r\nincr a +5\r\nset a 0000000000000000000001 0 1\r\nx\r\nget a\r\n',
  'incr of what begins with a number':
    'set a 0 0 6\r\n12 abc\r\nincr a 1\r\nset a 0 0 2\r\n 5\r\nincr a 1\r\n' +
    'set a 0 0 25\r\n5                        \r\nincr a 1\r\n' +
    'set a 0 0 5\r\n12abc\r\nincr a 1\r\nset a 0 0 0\r\n\r\nincr a 1\r\n',
  'too large, no reply': `set a 0 0 ${megabyte.length} noreply\r\n${megabyte}\r\n`,
  'a web browser': 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'endless line': 'x'.repeat(4096),
};

const end = 'set the-end 0 0 7\r\nthe end\r\nget the-end\r\n';
const ended = 'the end\r\nEND\r\n';

async function run(port: number, script: string): Promise<string> {
  const clean = new RawClient(port);
  await clean.ask('flush_all\r\n');
  clean.close();
  const client = new RawClient(port);
  client.send(script + (script.includes('\n') ? end : ''));
  const text = await client.until(ended);
  client.close();
  return text.replace(/VERSION .*/g, 'VERSION');
}

test('answers equal those of memcached', { skip: skipWithout('memcached') }, async (t) => {
  let real: Served | undefined;
  let ours: Served | undefined;
  try {
    real = await serveMemcached('-m', '64');
    ours = await serveExample('-t', '2');
    for (const [name, script] of Object.entries(scripts)) {
      await t.test(name, atMost(20_000), async () => {
        const [expected, got] = [await run(real!.port, script), await run(ours!.port, script)];
        assert.equal(got, expected);
        assert.notEqual(expected, '');
      });
    }
  } finally {
    await real?.stop();
    assert.equal(await ours?.stop(), 0);
  }
});
