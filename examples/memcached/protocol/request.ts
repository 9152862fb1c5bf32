// The request that a Protocol serves: where its line lies. One object is reused for all of them.
import { Memory } from '../store/memory.js';

export class Request {
  input = new Memory(Buffer.alloc(0));
  /** Its first byte. */
  start = 0;
  /** Where its line ends, without the line end. */
  stop = 0;
  /** The first byte behind the line: where a value begins. */
  next = 0;
  /** Where the input ends. */
  end = 0;

  /** Number of bytes of the line. */
  get lineLength(): number {
    return this.next - this.start;
  }
}
