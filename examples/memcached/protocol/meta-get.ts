// mg: gets an item with the fields that its flags ask for.
import { counter } from '../shared/counters.js';
import type { Shard } from '../store/shard.js';
import { echoes, itemFields } from './meta-answer.js';
import { lineRoom, type MetaCommand } from './meta-command.js';
import { Flag } from './meta-flags.js';
import * as reply from './replies.js';
import type { Writer } from './writer.js';

export class MetaGet {
  readonly #command: MetaCommand;
  readonly #writer: Writer;
  #found = false;
  #created = false;

  constructor(command: MetaCommand, writer: Writer) {
    this.#command = command;
    this.#writer = writer;
  }

  run(): void {
    if (!this.#command.parseWithOpaque(reply.manyWords)) return;
    const { context, flags, answer } = this.#command;
    const { out, shard, count } = context;
    this.#created = false;
    for (let room = lineRoom; room > 0;) {
      out.ensure(room); // outside of the lock: it may send
      room = this.#tryGet(shard);
    }
    out.finishValue(shard);
    if (this.#found && flags.has(Flag.Expiry)) {
      count[counter.cmd_touch]!++;
      count[counter.touch_hits]!++;
    } else {
      count[counter.cmd_get]!++;
      count[this.#found ? counter.get_hits : counter.get_misses]!++;
    }
    if (!this.#found && !flags.quiet) answer.line(reply.codeMiss, flags, echoes);
  }

  /** Returns 0, or the room that the answer needs if there is less. */
  #tryGet(shard: Shard): number {
    const { context, flags } = this.#command;
    const { out, key, clock } = context;
    shard.lock();
    try {
      let item = shard.find(key, clock.now);
      if (item === 0 && flags.vivify >= 0) {
        item = this.#vivify(shard);
        if (item === 0 && shard.items.mustRepeat) return lineRoom;
        this.#created = item !== 0;
      }
      const needed = item === 0 || !flags.value ? 0 : shard.view.textLength(item) + lineRoom;
      if (!out.hasRoom(needed)) return needed;
      this.#found = item !== 0;
      if (item !== 0) this.#answer(shard, item);
      return 0;
    } finally {
      shard.unlock();
    }
  }

  /** Makes an empty item, which this client is asked to fill. */
  #vivify(shard: Shard): number {
    const { context, flags } = this.#command;
    const { item, scratch } = context;
    item.flags = 0;
    item.expires = 0;
    item.setValue(scratch, 0, 0);
    return this.#writer.create(shard, flags.binaryKey);
  }

  /** Under the lock. */
  #answer(shard: Shard, item: number): void {
    const { context, flags, answer } = this.#command;
    const { out, clock, facts } = context;
    const { view } = shard;
    facts.take(shard, item, this.#created);
    if (flags.value) {
      out.text(reply.codeValue);
      out.number(facts.length);
    } else out.text(reply.codeDone);
    answer.fields(flags, itemFields);
    facts.decideWinner();
    answer.marks();
    out.crlf();
    if (facts.expires !== view.expires(item)) view.setExpires(item, facts.expires);
    if (facts.wins) view.markWon(item);
    if (!flags.noUpdate) view.touch(item, clock.now, true);
    if (flags.value) out.value(shard, item, 2);
  }
}
