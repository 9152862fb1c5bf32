// Formats the C++ sources with clang-format. --check changes nothing and fails when a file is not
// formatted.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const folders = ['native', 'bench/native'];
const files = folders.flatMap((folder) =>
  readdirSync(folder, { recursive: true })
    .filter((name) => /\.(cc|h)$/.test(name))
    .map((name) => path.join(folder, name)),
);
const mode = process.argv.includes('--check') ? ['--dry-run', '-Werror'] : ['-i'];
const { status, error } = spawnSync('clang-format', [...mode, ...files], { stdio: 'inherit' });
if (error) console.error(`clang-format: ${error.message} (apt-get install clang-format)`);
process.exit(status ?? 1);
