// The C++ self-test, built with the compiler that built the addon.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { skipWithout } from '../helpers/features.js';

const skip = skipWithout('c++');

test('the self-test of core and platform passes on this kernel', { skip }, () => {
  const result = spawnSync(process.execPath, ['scripts/selftest.mjs'], { encoding: 'utf8' });
  assert.equal(result.status, 0, result.stdout + result.stderr);
  assert.match(result.stdout, /^\d+ passed, 0 failed, \d+ skipped$/m);
});
