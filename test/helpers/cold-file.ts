// Files whose pages are not in memory: dd(1) of coreutils drops them, fincore(1) counts them.
import { spawnSync } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Writes pseudo-random bytes to a file. Returns them. */
export function writeRandom(file: string, length: number): Buffer {
  const stream = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  const bytes = stream.update(Buffer.alloc(length));
  writeFileSync(file, bytes);
  return bytes;
}

/** Removes a file's pages from memory. Returns whether none are left. */
export function cool(file: string): boolean {
  const fd = openSync(file, 'r+');
  fsyncSync(fd); // pages that are not on the disk stay
  closeSync(fd);
  spawnSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
  const { stdout } = spawnSync('fincore', ['-nb', '-o', 'PAGES', file], { encoding: 'utf8' });
  return stdout !== null && stdout.trim() === '0';
}

/** Whether files of the temporary directory leave memory. */
export function canCool(): boolean {
  const folder = mkdtempSync(path.join(tmpdir(), 'rss-cold-'));
  const file = path.join(folder, 'file');
  writeRandom(file, 2 ** 20);
  try {
    return cool(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
