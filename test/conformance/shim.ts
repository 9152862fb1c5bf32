// The example server for memcached's own test suite: takes memcached's options. Those that mean
// nothing here are left out, and what the example does otherwise by default is set as memcached has
// it.
import { fileURLToPath } from 'node:url';

/** Of -o: what tunes memcached's own threads and memory. */
const meaningless =
  /^(relaxed_privileges|(no_)?modern|no_lru_\w+|slab_(chunk_max|automove_window)=\d+)$/;

function translate(args: string[]): string[] {
  const own: string[] = ['-t', '4'];
  const extended = ['debugtime', 'maxconns_fast'];
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!;
    if (word === '-u') i++;
    else if (word === '-o')
      extended.push(...args[++i]!.split(',').filter((option) => !meaningless.test(option)));
    else if (word !== '-C') own.push(word);
    // In the suite's folder; memcached's own are in SASL's database.
    if (word === '-S') own.push('-Y', 'users');
  }
  return [...own, '-o', extended.join(',')];
}

const main = new URL('../../examples/memcached/main.js', import.meta.url);
process.argv = [process.execPath, fileURLToPath(main), ...translate(process.argv.slice(2))];
await import(main.href);
