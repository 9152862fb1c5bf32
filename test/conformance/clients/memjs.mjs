// memjs, which speaks the binary protocol: node memjs.mjs <port> [<user> <password>]
import assert from 'node:assert/strict';

import memjs from 'memjs';

const [port, username, password] = process.argv.slice(2);
const client = memjs.Client.create(`127.0.0.1:${port}`, { username, password, retries: 1 });
const large = Buffer.alloc(500_000, 'large');

assert.equal(await client.set('a', 'value', { expires: 100 }), true);
assert.equal(String((await client.get('a')).value), 'value');
assert.equal((await client.get('none')).value, null);
assert.equal(await client.add('a', 'other', {}), false);
assert.equal(await client.replace('none', 'other', {}), false);
assert.equal(await client.append('a', '>'), true);
// Its prepend() sends an append.
assert.equal(String((await client.get('a')).value), 'value>');
assert.equal((await client.increment('n', 1, { initial: 5 })).value, 5);
assert.equal((await client.increment('n', 10, {})).value, 15);
assert.equal((await client.decrement('n', 1, {})).value, 14);
assert.equal(await client.touch('a', 100), true);
assert.equal(await client.set('large', large, {}), true);
assert.ok((await client.get('large')).value.equals(large));
assert.equal(await client.delete('a'), true);
assert.equal(await client.delete('a'), false);
client.quit();
