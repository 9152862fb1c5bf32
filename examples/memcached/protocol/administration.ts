// Commands about the whole server: flush_all, verbosity, cache_memlimit, refresh_certs, shutdown,
// debugtime.
import { Field } from '../shared/state.js';
import { counter } from '../shared/counters.js';
import type { Context } from './context.js';
import * as reply from './replies.js';

const megabyte = 2 ** 20;
const leastMegabytes = 8;
const mostMegabytes = 1e9;
const mostVerbosity = 4;
/** From this verbosity on every command is shown. */
export const verboseCommands = 2;

/**
 * Notes whether every request is shown or counted. The fast paths of get and set are not taken
 * then.
 */
export function watch(fields: Float64Array): void {
  fields[Field.Watched] =
    fields[Field.Verbosity]! >= verboseCommands || fields[Field.Detail] !== 0 ? 1 : 0;
}

export class Administration {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  flushAll(): void {
    const context = this.#context;
    const { tokens } = context;
    if (!this.countFlush()) return context.answer(reply.noFlush);
    const plain = tokens.count === 1 || (tokens.count === 2 && context.noreply);
    const delay = plain ? 0 : tokens.signed(1);
    if (Number.isNaN(delay)) return context.answer(reply.badExptime);
    this.flush(delay);
    return context.answer(reply.ok);
  }

  /** Counts a command to flush; false if it is not allowed. */
  countFlush(): boolean {
    const { count, environment } = this.#context;
    count[counter.cmd_flush]!++;
    return environment.options.flushCommand;
  }

  /** Removes all items, now or at the time that `exptime` means. */
  flush(exptime: number): void {
    const { clock, fields, store } = this.#context;
    const time = exptime > 0 ? clock.expires(exptime) : clock.now;
    fields[Field.Flushed] = time;
    store.forEach((shard) => {
      if (time <= clock.now) shard.clear();
      else shard.clearAt(time);
    });
  }

  verbosity(): void {
    const context = this.#context;
    const level = context.tokens.unsigned(1);
    if (level < 0) return context.answer(reply.badFormat);
    this.setVerbosity(level);
    return context.answer(reply.ok);
  }

  setVerbosity(level: number): void {
    const { fields } = this.#context;
    fields[Field.Verbosity] = Math.min(level, mostVerbosity);
    watch(fields);
  }

  memoryLimit(): void {
    const context = this.#context;
    const megabytes = context.tokens.unsigned(1);
    if (megabytes < 0) return context.answer(reply.error);
    if (megabytes < leastMegabytes) return context.answer(reply.limitTooSmall);
    if (megabytes > mostMegabytes) return context.answer(reply.limitTooLarge);
    const bytes = megabytes * megabyte;
    if (!context.store.limitTo(bytes)) return context.answer(reply.limitFailed);
    context.fields[Field.MemoryLimit] = bytes;
    return context.answer(reply.ok);
  }

  /** New connections have the certificates that are in the files now. */
  refreshCertificates(): void {
    const { out, environment } = this.#context;
    try {
      environment.refreshCertificates();
    } catch (error) {
      return out.line(`SERVER_ERROR ${(error as Error).message}`);
    }
    return out.text(reply.ok);
  }

  /** Ends the process by a signal. SIGTERM lets connections finish. */
  shutdown(): void {
    const { tokens, out, session, environment } = this.#context;
    if (!environment.options.shutdownCommand) return out.text(reply.noShutdown);
    const graceful = tokens.count === 2 && tokens.is(1, 'graceful');
    if (tokens.count > 1 && !graceful) return out.text(reply.badShutdown);
    session.closing = true;
    process.kill(process.pid, graceful ? 'SIGTERM' : 'SIGINT');
    return undefined;
  }

  /**
   * As in memcached's debug build: moves the clock by seconds, pauses it (p), or resumes it (r).
   */
  debugTime(): void {
    const { tokens, out, clock, environment } = this.#context;
    const seconds = tokens.signed(1);
    if (!environment.options.debugTime || tokens.count < 2) return out.text(reply.error);
    if (tokens.is(1, 'p')) clock.pause();
    else if (tokens.is(1, 'r')) clock.resume();
    else if (Number.isNaN(seconds)) return out.text(reply.error);
    else clock.move(seconds);
    return out.text(reply.ok);
  }
}
