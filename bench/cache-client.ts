// A client of the memcached servers that bench:cache measures.
import { once } from 'node:events';
import net from 'node:net';

/** It sends many requests at once and reads all answers. */
export class CacheClient {
  readonly #socket: net.Socket;

  constructor(port: number) {
    this.#socket = net.connect(port, '127.0.0.1');
  }

  /** Sends requests and an mn behind them. Reads up to the answer of the mn. */
  async ask(requests: string): Promise<string> {
    this.#socket.write(`${requests}mn\r\n`, 'latin1');
    let answer = '';
    while (!answer.endsWith('MN\r\n'))
      answer += ((await once(this.#socket, 'data')) as [Buffer])[0].toString('latin1');
    return answer;
  }

  async statistic(name: string, kind = ''): Promise<number> {
    const stats = await this.ask(`stats${kind}\r\n`);
    return Number(new RegExp(`^STAT ${name} (\\d+)`, 'm').exec(stats)?.[1]);
  }

  close(): void {
    this.#socket.destroy();
  }
}
