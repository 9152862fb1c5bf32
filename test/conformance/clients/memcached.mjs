// npm's memcached, which speaks text: node memcached.mjs <port>
import assert from 'node:assert/strict';

import Memcached from 'memcached';

const client = new Memcached(`127.0.0.1:${process.argv[2]}`);
const call = (name, ...args) =>
  new Promise((resolve, reject) => {
    client[name](...args, (error, result) => (error ? reject(error) : resolve(result)));
  });

assert.equal(await call('set', 'a', 'value', 100), true);
assert.equal(await call('get', 'a'), 'value');
assert.equal(await call('get', 'none'), undefined);
await assert.rejects(call('add', 'a', 'other', 100));
assert.equal(await call('append', 'a', '>'), true);
const { cas } = await call('gets', 'a');
assert.equal(await call('cas', 'a', 'new', cas, 100), true);
assert.equal(await call('cas', 'a', 'newer', cas, 100), false);
assert.equal(await call('set', 'n', 5, 100), true);
assert.equal(await call('incr', 'n', 10), 15);
assert.equal(await call('decr', 'n', 1), 14);
assert.equal(await call('touch', 'a', 100), true);
assert.deepEqual(await call('getMulti', ['a', 'n', 'none']), { a: 'new', n: 14 });
assert.equal(await call('del', 'a'), true);
const [version] = await call('version');
assert.equal(version.version, '1.6.18');
const [stats] = await call('stats');
assert.equal(stats.curr_items, 1);
client.end();
