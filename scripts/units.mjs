// Writes build/units/FOLDER.cc, which includes all sources of native/FOLDER, and prints its name:
// node scripts/units.mjs FOLDER... They are compiled as one, because the compiler takes several
// times longer to read Node's headers for each of them than to compile them.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

export function writeUnit(folder) {
  const unit = `build/units/${folder}.cc`;
  const file = path.join(root, unit);
  const text = readdirSync(path.join(root, 'native', folder))
    .filter((name) => name.endsWith('.cc'))
    .sort()
    .map((name) => `#include "../../native/${folder}/${name}"\n`)
    .join('');
  // make(1) goes by the time of a file: an unchanged one is left alone.
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return unit;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const folder of process.argv.slice(2)) console.log(writeUnit(folder));
