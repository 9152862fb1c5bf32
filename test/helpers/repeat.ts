// How often tests repeat what only bad luck of timing would break.

/** Whether this is the long run, `npm run ci:long`. */
export const long = process.env['RSS_TEST_LONG'] === '1';

/** `usual`, or `often` in the long run. */
export const times = (usual: number, often: number): number => (long ? often : usual);
