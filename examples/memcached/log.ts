// Messages of the server on standard error: a line with time and level. syslog(3) adds a time of
// its own.
type Level = 'info' | 'warning' | 'error';

export class Log {
  readonly #timed: boolean;

  constructor(timed: boolean) {
    this.#timed = timed;
    // The reader of the log may go. That does not end the server.
    process.stderr.on('error', () => undefined);
  }

  info(text: string): void {
    this.#write('info', text);
  }

  warning(text: string): void {
    this.#write('warning', text);
  }

  error(text: string): void {
    this.#write('error', text);
  }

  /** Each line of the text becomes a line with its level. */
  #write(level: Level, text: string): void {
    const time = this.#timed ? `${new Date().toISOString()} ` : '';
    for (const line of text.split('\n')) process.stderr.write(`${time}${level}: ${line}\n`);
  }
}
