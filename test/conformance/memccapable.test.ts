// libmemcached's memccapable: every check of both protocols, with one and with several workers.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';

import { skipWithout } from '../helpers/features.js';
import { serveExample } from '../helpers/memcached.js';

/** Runs memccapable; resolves with all its output. */
const memccapable = (port: number) =>
  new Promise<string>((resolve) => {
    const args = ['-h', '127.0.0.1', '-p', `${port}`];
    execFile('memccapable', args, { timeout: 60_000 }, (_, stdout, stderr) =>
      resolve(stdout + stderr),
    );
  });

// It sleeps most of its time, to see items expire.
describe('memccapable passes 54 of 54:', { concurrency: true }, () => {
  for (const [workers, steering] of [
    ['1', 'auto'],
    ['2', 'auto'],
    ['4', 'auto'],
    ['4', 'reuseport-lb'],
    ['4', 'bpf-toeplitz'],
  ] as const) {
    const skip = skipWithout('memccapable') || (steering !== 'auto' && skipWithout(steering));
    it(`${workers} workers, ${steering}`, { skip }, async () => {
      const server = await serveExample('-t', workers, '-o', `steering=${steering}`);
      const output = await memccapable(server.port);
      assert.equal(output.match(/\[pass\]/g)?.length, 54, output);
      assert.match(output, /All tests passed/);
      assert.equal(await server.stop(), 0);
    });
  }
});
