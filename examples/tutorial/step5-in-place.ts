// Step 5: no object for a line. Answers are written where they are sent from, and counted.
import { defineWorker, type WorkerContext } from 'freebsd-rss/worker';

const newline = 10;
const zero = 48;
/** Digits of the longest line, maxInput, and a newline. */
const longestAnswer = 11;
let context: WorkerContext;

/** Writes a number and a newline; returns the offset behind them. */
function write(bytes: Uint8Array, at: number, value: number): number {
  let end = at + 1;
  for (let rest = value; rest > 9; rest = Math.floor(rest / 10)) end++;
  for (let i = end - 1, rest = value; i >= at; i--, rest = Math.floor(rest / 10))
    bytes[i] = zero + (rest % 10);
  bytes[end] = newline;
  return end + 1;
}

export default defineWorker({
  start(started) {
    context = started;
  },
  stream: {
    data(batch, out) {
      const { bytes } = batch;
      for (let i = 0; i < batch.count; i++) {
        const first = batch.offset(i);
        const end = first + batch.length(i);
        let begin = first;
        let lines = 0;
        for (let at = first; at < end; at++) {
          if (bytes[at] !== newline) continue;
          const answer = out.reserve(longestAnswer);
          out.commit(batch.connection(i), answer, write(out.bytes, answer, at - begin) - answer);
          begin = at + 1;
          lines++;
        }
        batch.consume(i, begin - first);
        context.countRequests(batch.bucket(i), lines);
      }
    },
  },
});
