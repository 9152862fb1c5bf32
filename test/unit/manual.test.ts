// The manual pages are well-formed and agree with the code.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import * as main from 'freebsd-rss';
import * as worker from 'freebsd-rss/worker';

import { commands } from '../../cli/commands.js';
import { usage } from '../../examples/memcached/options.js';
import { skipWithout } from '../helpers/features.js';

const pages = readdirSync('man').map((name) => `man/${name}`);
const page = (name: string) => readFileSync(`man/${name}`, 'utf8');
/** Findings about system pages that may not be installed. */
const elsewhere = /referenced manual not found|makewhatis/;

describe('manual pages', () => {
  for (const name of pages)
    it(`${name}: mandoc finds nothing`, { skip: skipWithout('mandoc') }, () => {
      const { stdout, stderr } = spawnSync('mandoc', ['-T', 'lint', name], { encoding: 'utf8' });
      const findings = (stdout + stderr).split('\n').filter((line) => line !== '');
      assert.deepEqual(
        findings.filter((line) => !elsewhere.test(line)),
        [],
      );
    });

  it('freebsd-rss-memcached(8) has the options of -h, and no others', () => {
    const ofHelp = new Set([...usage.matchAll(/^ {2}(-\w)/gm)].map(([, option]) => option!));
    const ofPage = [...page('freebsd-rss-memcached.8').matchAll(/^\.It Fl (\w)\b/gm)];
    assert.deepEqual(new Set(ofPage.map(([, letter]) => `-${letter}`)), ofHelp);
    const [, synopsis = ''] = page('freebsd-rss-memcached.8')
      .split(/^\.Sh .*$/m)
      .slice(1);
    const ofSynopsis = [...synopsis.matchAll(/^\.(?:Op )?Fl (\w+)(?: \| (\w))?/gm)];
    const letters = ofSynopsis.flatMap(([, word = '', other = '']) => [...word, ...other]);
    assert.deepEqual(new Set(letters.map((letter) => `-${letter}`)), ofHelp);
    const long = [...usage.matchAll(/--([\w-]+)/g)].map(([, option]) => option!);
    const longOfPage = [...page('freebsd-rss-memcached.8').matchAll(/, Fl -([\w-]+)/g)];
    assert.deepEqual(new Set(longOfPage.map(([, option]) => option)), new Set(long));
    const extended = [...usage.matchAll(/^ {8}(\w+)/gm)].map(([, name]) => name!);
    const extendedOfPage = [...page('freebsd-rss-memcached.8').matchAll(/^\.It Cm (\w+)/gm)];
    assert.deepEqual(new Set(extendedOfPage.map(([, name]) => name)), new Set(extended));
  });

  it('freebsd-rss(1) has the commands and options of --help, and no others', () => {
    const text = page('freebsd-rss.1');
    const used = new Set<string>();
    for (const [name, { usage: help }] of Object.entries(commands)) {
      assert.match(text, new RegExp(`^\\.It Cm ${name}$`, 'm'));
      for (const [, option] of help.matchAll(/--([a-z-]+)/g)) used.add(option!);
    }
    const described = [...text.matchAll(/^\.It Fl -([a-z-]+)/gm)].map(([, option]) => option!);
    assert.deepEqual(new Set(described), used);
  });

  it('freebsd-rss(3) names everything that is exported, and every error', () => {
    const text = page('freebsd-rss.3');
    const codes = readFileSync('lib/errors.ts', 'utf8').matchAll(/^ {2}\| '(ERR_\w+)'/gm);
    assert.deepEqual(
      [...text.matchAll(/^\.It Er (\w+)/gm)].map(([, code]) => code).sort(),
      [...codes].map(([, code]) => code).sort(),
    );
    for (const name of [...Object.keys(main), ...Object.keys(worker)])
      assert.match(text, new RegExp(`\\b${name}\\b`));
  });
});

it('scripts/rc.d/rss_memcached is a shell script', () => {
  const { status, stderr } = spawnSync('sh', ['-n', 'scripts/rc.d/rss_memcached'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});
