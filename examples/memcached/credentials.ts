// The users and passwords of -Y: a file with "user:password" lines.
import { timingSafeEqual, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { Slot, type State } from './state.js';

const digest = (text: string) => createHash('sha256').update(text, 'latin1').digest();

export class Credentials {
  readonly #file: string;
  readonly #slots: Float64Array;
  #version = -1;
  #digests: Buffer[] = [];

  /** Throws when the file cannot be read, or has no line that is one. */
  constructor(file: string, state: State) {
    this.#file = file;
    this.#slots = state.slots;
    this.#read();
  }

  accepts(user: string, password: string): boolean {
    if (this.#slots[Slot.Credentials] !== this.#version) this.#reread();
    const given = digest(`${user}:${password}`);
    let accepted = false;
    for (const one of this.#digests) if (timingSafeEqual(one, given)) accepted = true;
    return accepted;
  }

  /** The file has changed. If it is wrong now, those from before stay. */
  #reread(): void {
    try {
      this.#read();
    } catch (error) {
      console.error(`warning: ${(error as Error).message}`);
      this.#version = this.#slots[Slot.Credentials]!;
    }
  }

  #read(): void {
    const lines = readFileSync(this.#file, 'latin1')
      .split(/\r?\n/)
      .filter((line) => line !== '');
    if (lines.length === 0 || lines.some((line) => !/^[^:\s]+:\S+$/.test(line)))
      throw new Error(`${this.#file} must have "user:password" on every line`);
    this.#digests = lines.map(digest);
    this.#version = this.#slots[Slot.Credentials]!;
  }
}
