// libmemcached's memccapable: every check of both protocols, with one and with several workers.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { skipWithout } from '../helpers/features.js';
import { serveExample } from '../helpers/memcached.js';

for (const [workers, steering] of [
  ['1', 'auto'],
  ['2', 'auto'],
  ['4', 'auto'],
  ['4', 'reuseport-lb'],
  ['4', 'bpf-toeplitz'],
] as const) {
  const skip = skipWithout('memccapable') || (steering !== 'auto' && skipWithout(steering));
  test(`memccapable passes 54 of 54: ${workers} workers, ${steering}`, { skip }, async () => {
    const server = await serveExample('-t', workers, '-o', `steering=${steering}`);
    const result = spawnSync('memccapable', ['-h', '127.0.0.1', '-p', String(server.port)], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    const output = result.stdout + result.stderr;
    assert.equal(output.match(/\[pass\]/g)?.length, 54, output);
    assert.match(output, /All tests passed/);
    assert.equal(await server.stop(), 0);
  });
}
