// Options that the functions which send shared memory have in common.
import { integer, oneOf } from '../option-table.js';

export const zeroCopyOption = oneOf(['auto', 'always', 'never'], { default: 'auto' });

/** Bytes from which sendfile(2) is worth its overhead. */
export const zeroCopyThresholdOption = integer({
  min: 1,
  max: 2 ** 30,
  default: 65_536,
  unit: 'bytes',
});
