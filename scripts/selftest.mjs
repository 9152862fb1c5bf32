#!/usr/bin/env node
// Builds native/test and runs it, with the addon's objects where they are up to date. kyua(1) runs
// this.
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { compilerOf, compileWith, platformSources, run, sources } from './sources.mjs';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const directory = 'build/selftest.objects';
const compiler = process.env.CXX ?? 'c++';
const more = (process.env.CXXFLAGS ?? '').split(' ').filter(Boolean);
const flags = ['-std=c++17', '-O1', '-g', '-Wall', '-Wextra', '-Inative', ...more];

const compile = compilerOf(compiler);

const changed = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** The addon's objects of the platform, or undefined when a source is newer than one of them. */
function ofAddon(files) {
  const objects = files.map(
    (file) => `build/Release/obj.target/freebsd_rss/${file.replace(/cc$/, 'o')}`,
  );
  const folders = ['core', 'steering', 'platform'].map((name) => `native/${name}`);
  const newest = folders
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true }).map((name) => path.join(folder, name)),
    )
    .reduce((latest, file) => Math.max(latest, changed(file)), 0);
  return objects.every((object) => changed(object) > newest) ? objects : undefined;
}

const files = platformSources();
const common = ofAddon(files) ?? (await compileWith(compile, files, directory, flags));
const tests = await compileWith(compile, sources('test'), directory, flags);
run(compiler, [...more, '-o', 'build/selftest', ...common, ...tests, '-lpthread']);
run('build/selftest', []);
