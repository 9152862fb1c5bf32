// Writes a generated document. With --check in the command line, the script fails instead if the
// file differs.
import { readFileSync, writeFileSync } from 'node:fs';

import prettier from 'prettier';

/** `script` is the command that makes the file anew. */
export async function writeGenerated(file, script, text) {
  const settings = await prettier.resolveConfig(file);
  const printed = await prettier.format(text, {
    ...settings,
    parser: 'markdown',
    proseWrap: 'always',
    printWidth: 100,
  });
  if (!process.argv.includes('--check')) writeFileSync(file, printed);
  else if (readFileSync(file, 'utf8') !== printed) {
    console.error(`${file} is out of date: ${script}`);
    process.exitCode = 1;
  }
}
