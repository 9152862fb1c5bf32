// Stat: one answer for each statistic, and one without a key behind the last.
import type { Context } from '../context.js';
import type { Statistics } from '../statistics.js';
import type { BinaryAnswer } from './answer.js';
import { Status } from './header.js';
import type { BinaryRequest } from './request.js';

export class BinaryStatistics {
  readonly #context: Context;
  readonly #request: BinaryRequest;
  readonly #answer: BinaryAnswer;
  readonly #statistics: Statistics;

  constructor(
    context: Context,
    request: BinaryRequest,
    answer: BinaryAnswer,
    statistics: Statistics,
  ) {
    this.#context = context;
    this.#request = request;
    this.#answer = answer;
    this.#statistics = statistics;
  }

  /** The key is what would follow "stats" in the text protocol. */
  run(): void {
    const answer = this.#answer;
    const kind = this.#request.keyText;
    switch (kind) {
      case 'reset':
        this.#statistics.reset();
        return answer.texts('', '');
      case 'detail on':
      case 'detail off':
        this.#statistics.setDetail(kind === 'detail on');
        return answer.texts('', '');
      case 'detail dump':
        answer.texts('detailed', this.#detail());
        return answer.texts('', '');
    }
    const lines = this.#statistics.lines(kind);
    if (lines === undefined) return answer.error(Status.NotFound);
    for (const [name, value] of lines) answer.texts(name, String(value));
    return answer.texts('', '');
  }

  #detail(): string {
    const lines = [...this.#context.environment.prefixes.list(), 'END'];
    return lines.map((line) => `${line}\r\n`).join('');
  }
}
