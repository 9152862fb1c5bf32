// Runs the checker of the zero-copy tests on a program that reuses memory too early.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { capabilities } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { PatternReader } from '../helpers/pattern.js';

const directory = mkdtempSync(path.join(tmpdir(), 'rss-control-'));
after(() => rmSync(directory, { recursive: true }));

describe('the checker itself', () => {
  const skip = capabilities().platform === 'linux' ? skipWithout('c++') : 'Linux alone';

  it('finds memory that is overwritten at the acknowledgement', { skip }, async () => {
    const program = path.join(directory, 'reuse_at_ack');
    const source = fileURLToPath(new URL('../../../test/control/reuse_at_ack.cc', import.meta.url));
    execFileSync('c++', ['-std=c++17', '-O1', '-Wall', '-Wextra', '-o', program, source]);
    const control = spawn(program, ['500'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(control.stdout, 'data')) as [Buffer];
    const socket = net.connect(Number(line.toString()), '127.0.0.1');
    const reader = new PatternReader();
    socket.on('data', (chunk) => {
      reader.read(chunk);
      socket.pause(); // what is overwritten now has been acknowledged, and not been read
      setTimeout(() => socket.resume(), 2);
    });
    socket.on('error', () => undefined);
    await once(socket, 'close');
    control.kill('SIGKILL');
    assert.ok(reader.values > 10 && reader.wrong > 0, `${reader.values} values, all right`);
  });
});
