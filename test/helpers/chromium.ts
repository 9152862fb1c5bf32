// A page in headless Chromium, by the DevTools protocol over pipes: messages end with a NUL byte.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';

import { limitMs, soon, until } from './wait.js';

const names = ['chromium', 'chromium-browser', 'chrome', 'google-chrome'];

/** The name of the installed browser, if there is one. */
export const findChromium = (): string | undefined =>
  names.find((name) => spawnSync(name, ['--version']).status === 0);

interface Message {
  id?: number;
  method?: string;
  params?: unknown;
  result?: unknown;
  error?: { message: string };
}

interface Waiting {
  resolve(message: Message): void;
  reject(error: Error): void;
}

export class BrowserPage {
  /** Exceptions that the page's scripts have thrown. */
  readonly exceptions: unknown[] = [];
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, Waiting>();
  #session: string | undefined;
  #sent = 0;

  private constructor(command: string) {
    this.#profile = mkdtempSync(path.join(tmpdir(), 'rss-chromium-'));
    const args = [
      '--headless=new',
      '--no-sandbox', // root has none
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--hide-scrollbars',
      '--window-size=1200,1000',
      '--remote-debugging-pipe',
      `--user-data-dir=${this.#profile}`,
    ];
    this.#child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      timeout: 2 * limitMs,
    });
    this.#child.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the browser has ended'));
    });
    let rest = '';
    (this.#child.stdio[4] as Readable).setEncoding('utf8').on('data', (chunk: string) => {
      const messages = `${rest}${chunk}`.split('\0');
      rest = messages.pop()!;
      for (const message of messages) this.#receive(JSON.parse(message) as Message);
    });
  }

  static async open(command: string, url: string): Promise<BrowserPage> {
    const page = new BrowserPage(command);
    const { targetId } = await page.#call<{ targetId: string }>('Target.createTarget', {
      url: 'about:blank',
    });
    const { sessionId } = await page.#call<{ sessionId: string }>('Target.attachToTarget', {
      targetId,
      flatten: true,
    });
    page.#session = sessionId;
    await page.#call('Runtime.enable');
    await page.#call('Page.enable');
    await page.#call('Page.navigate', { url });
    return page;
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result } = await this.#call<{ result: { value: T } }>('Runtime.evaluate', {
      expression,
      returnByValue: true,
    });
    return result.value;
  }

  /** What the window shows, as a PNG. */
  async picture(): Promise<Buffer> {
    const { data } = await this.#call<{ data: string }>('Page.captureScreenshot', {});
    return Buffer.from(data, 'base64');
  }

  async close(): Promise<void> {
    const ended = once(this.#child, 'exit', soon());
    this.#child.kill();
    await ended;
    // Its children may still write there.
    await until('the browser has left its profile', () => {
      try {
        rmSync(this.#profile, { recursive: true, force: true });
        return true;
      } catch {
        return false;
      }
    });
  }

  #receive(message: Message): void {
    if (message.id !== undefined) this.#waiting.get(message.id)?.resolve(message);
    else if (message.method === 'Runtime.exceptionThrown') this.exceptions.push(message.params);
  }

  async #call<T>(method: string, params: object = {}): Promise<T> {
    const id = ++this.#sent;
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    const answered = new Promise<Message>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    (this.#child.stdio[3] as Writable).write(
      `${JSON.stringify({ id, method, params, ...session })}\0`,
    );
    const { error, result } = await answered;
    this.#waiting.delete(id);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result as T;
  }
}
