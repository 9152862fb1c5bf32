// The users and passwords of -Y. The main thread reads the file, which has "user:password" on every
// line; the workers compare with the digests of its lines, in shared memory.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { ShmSegment } from 'freebsd-rss/shm';

const digestSize = 32;
const mostLines = 1000;
const firstDigest = 64;
const enum Word {
  Version = 0, // grows by one before and after the digests are written
  Count = 1, // number of digests
}

const digest = (line: string) => createHash('sha256').update(line, 'latin1').digest();

export class Credentials {
  readonly id: number;
  readonly #words: Int32Array;
  readonly #bytes: Buffer;

  /** Opens the memory, or makes it if there is no id. */
  constructor(id?: number) {
    const size = firstDigest + mostLines * digestSize;
    const segment = id === undefined ? ShmSegment.create({ size }) : ShmSegment.open(id);
    this.id = segment.id;
    this.#words = new Int32Array(segment.buffer, 0, firstDigest / 4);
    this.#bytes = Buffer.from(segment.buffer, firstDigest);
  }

  /** Replaces the digests by those of the file. Throws if it cannot be read or has a wrong line. */
  load(file: string): void {
    const lines = readFileSync(file, 'latin1')
      .split(/\r?\n/)
      .filter((line) => line !== '');
    if (lines.length === 0 || lines.some((line) => !/^[^:\s]+:\S+$/.test(line)))
      throw new Error(`${file} must have "user:password" on every line`);
    if (lines.length > mostLines) throw new Error(`${file} has more than ${mostLines} lines`);
    Atomics.add(this.#words, Word.Version, 1);
    lines.forEach((line, i) => digest(line).copy(this.#bytes, i * digestSize));
    this.#words[Word.Count] = lines.length;
    Atomics.add(this.#words, Word.Version, 1);
  }

  accepts(user: string, password: string): boolean {
    const given = digest(`${user}:${password}`);
    for (;;) {
      const version = Atomics.load(this.#words, Word.Version);
      let accepted = false;
      for (let i = 0; i < this.#words[Word.Count]!; i++) {
        const at = i * digestSize;
        if (timingSafeEqual(this.#bytes.subarray(at, at + digestSize), given)) accepted = true;
      }
      if (version % 2 === 0 && Atomics.load(this.#words, Word.Version) === version) return accepted;
    }
  }
}
