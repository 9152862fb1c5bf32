#!/usr/bin/env node
// Builds and runs native/test with one compiler line, as its main.cc documents it. Kyua(1) runs
// this.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { platformSources, run, sources } from './sources.mjs';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const binary = 'build/selftest';
mkdirSync('build', { recursive: true });
const flags = ['-std=c++17', '-O1', '-g', '-Wall', '-Wextra', '-Inative'];
const more = (process.env.CXXFLAGS ?? '').split(' ').filter(Boolean);
const files = [...platformSources(), ...sources('test')];
run(process.env.CXX ?? 'c++', [...flags, ...more, '-o', binary, ...files, '-lpthread']);
run(`./${binary}`, []);
