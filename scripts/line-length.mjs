// Checks that no line of code, comments, Markdown or manual pages exceeds 100 columns.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const limit = 100;
const checked = /^man\/|\.(ts|mjs|cc|h|md)$/;
/** A single word, such as a URL, after an optional comment or list sign. */
const unbreakable = /^\s*(\/\/|\*|#|-)?\s*\S+$/;
/** The tables of this file are pasted from the output of the bench. */
const pastedTables = 'docs/performance.md';

// Tracked files, and new ones that are not ignored.
const names = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((name) => checked.test(name));

for (const name of names) {
  for (const [index, line] of readFileSync(name, 'utf8').split('\n').entries()) {
    if ([...line].length <= limit || unbreakable.test(line)) continue;
    if (name === pastedTables && line.startsWith('|')) continue;
    console.error(
      `${name}:${index + 1}: ${[...line].length} columns, at most ${limit} are allowed`,
    );
    process.exitCode = 1;
  }
}
