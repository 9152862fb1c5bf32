// The example server under the name and with the options that memcached's own test suite uses:
// node shim.js [memcached's options]. Options that mean nothing here are left out; what the example does
// otherwise by default is set as memcached has it.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { usage } from '../../examples/memcached/options.js';

const main = fileURLToPath(new URL('../../examples/memcached/main.js', import.meta.url));
/** Of -o: what tunes memcached's own threads and memory. */
const meaningless =
  /^(relaxed_privileges|no_modern|modern|slab_chunk_max=|no_lru_|lru_|no_maxconns_fast|slab_|no_slab_|hash)/;

function translate(args: string[]): string[] {
  const own: string[] = ['-t', process.env['SUITE_WORKERS'] ?? '4'];
  const extended = ['debugtime'];
  let refuse = true;
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!;
    if (word === '-u') i++;
    else if (word === '-C' || word === '-d') continue;
    else if (word === '-o')
      for (const option of args[++i]!.split(',')) {
        if (option === 'no_maxconns_fast') refuse = false;
        else if (!meaningless.test(option)) extended.push(option);
      }
    else own.push(word);
  }
  if (refuse) extended.push('maxconns_fast');
  return [...own, '-o', extended.join(',')];
}

const args = process.argv.slice(2);
if (args.includes('-h')) {
  // By the words in it the suite decides what it tries.
  const network = process.env['SUITE_NETWORK'] !== undefined;
  process.stdout.write(network ? usage.replaceAll('unix-socket', 'socket') : usage);
} else {
  const child = spawn(process.execPath, [main, ...translate(args)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGUSR1'] as const)
    process.on(signal, () => child.kill(signal));
  child.on('exit', (code) => process.exit(code ?? 1));
}
