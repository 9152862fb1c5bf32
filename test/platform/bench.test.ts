// The bench runs, and its output has the form of docs/performance.md. The figures are not checked.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

import { skipWithout } from '../helpers/features.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rss-bench-'));
after(() => rmSync(folder, { recursive: true }));

const bench = (...args: string[]) =>
  spawnSync(process.execPath, ['dist/bench/index.js', ...args], { encoding: 'utf8' });

describe(
  'npm run bench',
  { skip: skipWithout('two-cpus') || skipWithout('memcached') || skipWithout('c++') },
  () => {
    it('measures the named works, and writes JSON and SVG', () => {
      const json = path.join(folder, 'bench.json');
      const svg = path.join(folder, 'bench.svg');
      const only = ['udp-echo-510', 'get-1', 'handoff-cost'].flatMap((name) => ['--only', name]);
      const quick = ['--rounds', '1', '--seconds', '1'];
      const { status, stdout, stderr } = bench(...only, ...quick, '--json', json, '--svg', svg);
      assert.equal(status, 0, stderr);
      assert.match(stdout, /^\| get-1 +\| memcached +\| \d+\.\d\d \|/m);
      const { results } = JSON.parse(readFileSync(json, 'utf8')) as {
        results: Record<string, number | string>[];
      };
      assert.deepEqual(
        results.map(({ work, peer }) => `${work} ${peer}`),
        [
          'udp-echo-510 c',
          'udp-echo-510 node:dgram',
          'get-1 memcached',
          'get-1 node:net',
          'get-1 c',
          'handoff-cost bpf-toeplitz',
        ],
      );
      for (const result of results)
        for (const name of ['ratio', 'cpuRatio', 'rounds', 'min', 'max'])
          assert.ok(Number(result[name]) > 0, `${name} of ${result['work']}`);
      assert.match(readFileSync(svg, 'utf8'), /^<svg[\s\S]*get-1, memcached/);
    });

    it('refuses unknown works', () => {
      const { status, stderr } = bench('--only', 'everything');
      assert.equal(status, 64);
      assert.match(stderr, /no work "everything"; there are udp-echo-510, get-1/);
    });
  },
);
