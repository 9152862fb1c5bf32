// The protocols that clients may speak: -B. The first byte of a connection or datagram says which.
import type { Environment } from './context.js';
import { BinaryProtocol } from './binary/binary-protocol.js';
import { requestMagic } from './binary/header.js';
import type { Output } from './output.js';
import { Protocol } from './protocol.js';

export class Dialects {
  readonly text: Protocol;
  readonly binary: BinaryProtocol;
  readonly #only: 'ascii' | 'binary' | undefined;

  constructor(environment: Environment, out: Output) {
    const { protocol } = environment.options;
    this.text = new Protocol(environment, out);
    this.binary = new BinaryProtocol(environment, out);
    this.#only = protocol === 'auto' ? undefined : protocol;
  }

  /** The protocol of a client whose first byte this is; undefined if it is not served. */
  of(first: number): Protocol | BinaryProtocol | undefined {
    const binary = first === requestMagic;
    if (this.#only === (binary ? 'ascii' : 'binary')) return undefined;
    return binary ? this.binary : this.text;
  }
}
