// libmemcached's memccapable: every ASCII check, with one and with several workers.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { skipWithout } from '../helpers/features.js';
import { serveExample } from '../helpers/memcached.js';

for (const workers of ['1', '2', '4']) {
  test(
    `memccapable -a passes 27 of 27 with -t ${workers}`,
    { skip: skipWithout('memccapable') },
    async () => {
      const server = await serveExample('-t', workers);
      const result = spawnSync(
        'memccapable',
        ['-h', '127.0.0.1', '-p', String(server.port), '-a'],
        {
          encoding: 'utf8',
          timeout: 60_000,
        },
      );
      const output = result.stdout + result.stderr;
      assert.equal(output.match(/\[pass\]/g)?.length, 27, output);
      assert.match(output, /All tests passed/);
      assert.equal(await server.stop(), 0);
    },
  );
}
