// The stats command.
import { socketText } from '../shared/connections.js';
import { Field } from '../shared/state.js';
import { Statistic } from '../store/layout.js';
import type { Shard } from '../store/shard.js';
import { watch } from './administration.js';
import { dumpKeys } from './cachedump.js';
import type { Context } from './context.js';
import { generalStatistics } from './general-statistics.js';
import * as reply from './replies.js';
import { settings } from './settings.js';
import { version } from './version.js';

export type Line = readonly [name: string, value: string | number];

export class Statistics {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  run(): void {
    const { tokens, out } = this.#context;
    const kind = tokens.text(1);
    switch (kind) {
      case 'reset':
        this.reset();
        return out.text(reply.reset);
      case 'detail':
        return this.#detail();
      case 'cachedump':
        return dumpKeys(this.#context);
    }
    const lines = this.lines(kind);
    if (lines === undefined) return out.text(reply.error);
    for (const [name, value] of lines) out.line(`STAT ${name} ${value}`);
    return out.text(reply.end);
  }

  /** The statistics of a kind, '' for those of the server as a whole. */
  lines(kind: string): Iterable<Line> | undefined {
    const { environment, clock } = this.#context;
    clock.tick();
    switch (kind) {
      case '':
        return generalStatistics(environment);
      case 'settings':
        return settings(environment);
      case 'items':
        return this.#items();
      case 'slabs':
        return this.#slabs();
      case 'sizes':
        return this.#sizes();
      case 'conns':
        return this.#connections();
      case 'rss':
        return this.#rss();
    }
    return undefined;
  }

  reset(): void {
    const { environment } = this.#context;
    environment.counters.reset();
    environment.prefixes.reset();
    environment.store.forEach(({ census }) => census.reset());
  }

  /** Begins or ends to count requests by key prefix. */
  setDetail(on: boolean): void {
    const { fields } = this.#context;
    fields[Field.Detail] = on ? 1 : 0;
    watch(fields);
  }

  /** Adds up what `of` returns for every shard, under its lock. */
  #sum(of: (shard: Shard) => number): number {
    let sum = 0;
    this.#context.store.forEach((shard) => (sum += of(shard)));
    return sum;
  }

  /** Chunk sizes of the classes; the last class is that of large values. */
  get #classes(): number[] {
    return [...this.#context.store.geometry.classes, 0];
  }

  *#items(): Generator<Line> {
    const { store, clock } = this.#context;
    for (const c of this.#classes.keys()) {
      const total = (statistic: Statistic) =>
        this.#sum(({ census }) => census.statistic(c, statistic));
      const number = total(Statistic.Items);
      if (number === 0) continue;
      const name = (text: string) => `items:${c + 1}:${text}`; // memcached's classes begin with 1
      let oldest = clock.now;
      store.forEach(({ census }) => {
        oldest = Math.min(oldest, census.oldestUse(c) || clock.now);
      });
      yield [name('number'), number];
      yield [name('age'), clock.now - oldest];
      yield [name('mem_requested'), total(Statistic.Bytes)];
      yield [name('evicted'), total(Statistic.Evicted)];
      yield [name('evicted_nonzero'), total(Statistic.EvictedNonzero)];
      const times = store.shards.map(({ census }) => census.statistic(c, Statistic.EvictedTime));
      yield [name('evicted_time'), Math.max(...times)];
      yield [name('outofmemory'), total(Statistic.OutOfMemory)];
      yield [name('reclaimed'), total(Statistic.Expired)];
      yield [name('expired_unfetched'), total(Statistic.ExpiredUnfetched)];
      yield [name('evicted_unfetched'), total(Statistic.EvictedUnfetched)];
      yield [name('crawler_reclaimed'), total(Statistic.Swept)];
      yield [name('crawler_items_checked'), total(Statistic.SweepLooked)];
    }
  }

  *#slabs(): Generator<Line> {
    const { store } = this.#context;
    const { pageSize } = store.geometry;
    let active = 0;
    for (const [c, size] of this.#classes.entries()) {
      let pages = 0;
      let used = 0;
      let chunksPerPage = 0;
      store.forEach(({ census }) => {
        const usage = census.usage(c);
        pages += usage.pages;
        used += usage.used;
        ({ chunksPerPage } = usage);
      });
      if (pages === 0) continue;
      active++;
      yield [`${c + 1}:chunk_size`, size === 0 ? pageSize : size];
      yield [`${c + 1}:chunks_per_page`, chunksPerPage];
      yield [`${c + 1}:total_pages`, pages];
      yield [`${c + 1}:total_chunks`, pages * chunksPerPage];
      yield [`${c + 1}:used_chunks`, used];
      yield [`${c + 1}:free_chunks`, pages * chunksPerPage - used];
    }
    yield ['active_slabs', active];
    yield ['total_malloced', this.#sum(({ census }) => census.used)];
  }

  *#sizes(): Generator<Line> {
    const { store } = this.#context;
    if (!this.#context.environment.options.trackSizes) {
      yield ['sizes_status', 'disabled'];
      return;
    }
    const sizes: number[] = [];
    for (const shard of store.shards)
      shard.sizes?.forEach((count, i) => (sizes[i] = (sizes[i] ?? 0) + count));
    for (const [i, count] of sizes.entries()) if (count > 0) yield [String(i * 32), count];
  }

  *#connections(): Generator<Line> {
    const { slot, clock, environment } = this.#context;
    const { addresses, options, connections } = environment;
    const sockets = addresses.map(({ protocol, address, port }) =>
      socketText(protocol, address, port),
    );
    if (options.unixSocket !== undefined) sockets.push(`unix:${options.unixSocket}`);
    for (const [i, address] of sockets.entries()) {
      yield [`${i}:addr`, address];
      yield [`${i}:state`, address.startsWith('udp') ? 'conn_read' : 'conn_listening'];
    }
    for (const { number, state, lastCommand, peer, local } of connections.list()) {
      const own = slot >= 0 && number === connections.numberOf(slot);
      yield [`${sockets.length + number}:addr`, peer];
      yield [`${sockets.length + number}:listen_addr`, local];
      yield [`${sockets.length + number}:state`, own ? 'conn_parse_cmd' : state];
      yield [`${sockets.length + number}:secs_since_last_cmd`, own ? 0 : clock.now - lastCommand];
    }
  }

  *#rss(): Generator<Line> {
    yield ['version', version];
    for (const bucket of this.#context.environment.rss().buckets) {
      const name = (text: string) => `${bucket.bucket}:${text}`;
      yield [name('cpu'), bucket.cpu];
      yield [name('worker'), bucket.owner];
      yield [name('connections'), bucket.served - bucket.closed];
      yield [name('accepted'), bucket.accepted];
      yield [name('requests'), bucket.requests];
      yield [name('bytes_read'), bucket.bytesIn];
      yield [name('bytes_written'), bucket.bytesOut];
      yield [name('datagrams'), bucket.datagramsIn];
      yield [name('datagrams_out'), bucket.datagramsOut];
      yield [name('misdirected'), bucket.misdirected];
      yield [name('handed_off'), bucket.handedOff];
      yield [name('placement_samples'), bucket.placementSamples];
      yield [name('misplaced'), bucket.misplaced];
      yield [name('inbox_length'), bucket.inboxLength];
      yield [name('inbox_peak'), bucket.inboxPeak];
      yield [name('inbox_full'), bucket.inboxFull];
      yield [name('datagrams_dropped'), bucket.datagramsDropped];
    }
    for (const worker of this.#context.environment.rss().workers) {
      const name = (text: string) => `worker:${worker.workerIndex}:${text}`;
      yield [name('rusage_user'), (worker.userCPUTime / 1e6).toFixed(6)];
      yield [name('rusage_system'), (worker.systemCPUTime / 1e6).toFixed(6)];
      yield [name('loop_busy'), worker.loopUtilization.toFixed(3)];
      yield [name('voluntary_switches'), worker.voluntaryContextSwitches];
      yield [name('involuntary_switches'), worker.involuntaryContextSwitches];
      yield [name('lock_waits'), worker.lockWaits];
      yield [name('lock_wait_us'), Math.round(worker.lockWaitUs)];
    }
    yield* this.#loopDelays();
  }

  *#loopDelays(): Generator<Line> {
    const { options, workers, counters } = this.#context.environment;
    for (let i = 0; i < workers && options.loopDelay; i++)
      for (const name of ['loop_delay_p999_us', 'loop_delay_max_us'] as const)
        yield [`worker:${i}:${name}`, Math.round(counters.of(i, name))];
  }

  #detail(): void {
    const { tokens, out, environment } = this.#context;
    switch (tokens.text(2)) {
      case 'on':
      case 'off':
        this.setDetail(tokens.is(2, 'on'));
        return out.text(reply.ok);
      case 'dump':
        for (const line of environment.prefixes.list()) out.line(line);
        return out.text(reply.end);
    }
    return out.text(reply.detailUsage);
  }
}
