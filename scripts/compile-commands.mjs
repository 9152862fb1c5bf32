// Writes build/compile_commands.json, which clangd and clang-tidy read: npm run compile-commands
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { addonFlags, nodeUnits, platformSources, sources } from './sources.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const target = 'build/compile_commands.json';
const flags = ['-std=c++17', '-Wall', '-Wextra', '-fno-exceptions', '-Inative'];

export function writeCompileCommands() {
  const own = sources('engine', 'bindings', 'test', 'stress', 'fuzz', 'pretend');
  const files = [...platformSources(), ...nodeUnits(), ...own];
  const commands = files.map((file) => ({
    directory: root,
    file,
    arguments: ['clang++', ...flags, ...addonFlags(), '-c', file],
  }));
  mkdirSync('build', { recursive: true });
  writeFileSync(target, `${JSON.stringify(commands, null, 2)}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.chdir(root);
  writeCompileCommands();
}
