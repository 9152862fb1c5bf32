// The bench runs, and its outputs have the form that docs/performance.md shows. Nothing here looks
// at the figures.
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
    // As few and as short slices as there can be.
    const quick = ['--slice', '0.01', '--limit', '0.1', '--seed', '1'];

    interface Results {
      results: {
        work: string;
        peer: string;
        pairs: number;
        ratios: Record<string, { value: number; low: number; high: number }>;
      }[];
    }

    it('measures works that are named, and writes JSON and SVG', () => {
      const json = path.join(folder, 'bench.json');
      const svg = path.join(folder, 'bench.svg');
      const only = ['udp-echo-510', 'get-1', 'handoff-cost'].flatMap((name) => ['--only', name]);
      const { status, stdout, stderr } = bench(...only, ...quick, '--json', json, '--svg', svg);
      assert.equal(status, 0, stderr);
      assert.match(stdout, /; TCP \w+; .*, seed 1$/m);
      const ratio = String.raw`\d+\.\d+ \(\d+\.\d+–\d+\.\d+\)`;
      const goal = '[^|]+(met|missed|undecided)';
      assert.match(
        stdout,
        new RegExp(String.raw`^\| get-1 \| memcached( \| ${ratio}){3} \| \d+ \| ${goal} \|$`, 'm'),
      );
      const { results } = JSON.parse(readFileSync(json, 'utf8')) as Results;
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
      for (const { work, pairs, ratios } of results) {
        assert.ok(pairs > 0, work);
        for (const { value, low, high } of Object.values(ratios))
          assert.ok(0 < low && low <= value && value <= high, `${work}: ${low} ${value} ${high}`);
      }
      assert.match(readFileSync(svg, 'utf8'), /^<svg[\s\S]*get-1, memcached/);
    });

    it(
      'measures works that need a network namespace',
      { skip: skipWithout('root') || skipWithout('netns') },
      () => {
        const svg = path.join(folder, 'scaling.svg');
        const { status, stdout, stderr } = bench('--only', 'locality-http', ...quick);
        assert.equal(status, 0, stderr);
        assert.match(stdout, /^Servers .* Steered wrong, the worker moves from CPU \d+ to \d+/m);
        assert.match(stdout, /^\| locality-http \| wrong \|/m);
        const scaling = bench('--only', 'scaling-2', ...quick, '--svg', svg);
        assert.equal(scaling.status, 0, scaling.stderr);
        for (const peer of ['wrong', 'memcached', 'cluster'])
          assert.ok(scaling.stdout.includes(`| scaling-2 | ${peer} |`), scaling.stdout);
        assert.match(readFileSync(svg, 'utf8'), /^<svg[\s\S]*Operations a second/);
      },
    );

    it('compares two checkouts: here one with itself', () => {
      const { status, stdout, stderr } = bench('--against', '.', '--only', 'get-1', ...quick);
      assert.equal(status, 0, stderr);
      assert.match(stdout, /^\| get-1 \| other checkout \| .*rate ≥ 0\.97: /m);
    });

    it('leaves out what the other checkout lacks', () => {
      const { status, stdout, stderr } = bench('--against', folder, '--only', 'get-1', ...quick);
      assert.equal(status, 0, stderr);
      assert.doesNotMatch(stdout, /get-1/);
      assert.match(stderr, /get-1: .* has no such server/);
    });

    it('measures what counting costs', () => {
      const program = ['dist/bench/counting.js', '--seconds', '0.1'];
      const { status, stdout, stderr } = spawnSync(process.execPath, program, { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      assert.match(stdout, /^\| get-1 \| \d+\.\d+ \| 3\.\d\d( \| \d+\.\d+ %){4} \|$/m);
      assert.match(stdout, /^\| udp-get \|/m);
    });

    it('refuses works that there are not', () => {
      const { status, stderr } = bench('--only', 'everything');
      assert.equal(status, 64);
      assert.match(stderr, /no work "everything"; there are udp-echo-510, get-1/);
    });
  },
);
