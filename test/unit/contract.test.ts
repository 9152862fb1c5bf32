import assert from 'node:assert/strict';
import { it } from 'node:test';

import * as contract from '../../lib/contract.js';
import { native } from '../../lib/native.js';

it('C++ and JavaScript agree on every number and layout that they share', () => {
  assert.deepEqual(native.contract, { ...contract });
});
