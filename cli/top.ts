// freebsd-rss top: shows what a running server does, once a second.
import readline from 'node:readline';
import { setTimeout } from 'node:timers/promises';

import { findAdminSocket, snapshot } from './admin-socket.js';
import { addressAndPort, type Command, number, parse, printJson, UsageError } from './command.js';
import { serve } from './http/server.js';
import { prometheus } from './prometheus.js';
import { screen, type View } from './screen.js';
import { sortings } from './table.js';

const usage = `What a running server does, bucket by bucket, once a second.

  freebsd-rss top [options] SOCKET|PID

  --count N      end after N times (default: when q is pressed)
  --prometheus   the counters in Prometheus' text format, once
  --json         the counters for programs, once
  --http ADDR    a live page, /metrics and /healthz: PORT (of 127.0.0.1), or
                 an address and a port

SOCKET is the path that the server was given as \`admin\`; of a process it is
looked for. On a terminal the keys are s, to sort by another column, the left
and right arrows, which go back and forth in the last five minutes, End, which
goes back to now, and q.
Share is of the requests where the server counts them, else of new connections
and datagrams. p99 us is how late the worker's event loop was, and busy the
percentage of the time in which it had work.

Example:
  freebsd-rss top /var/run/my-server.sock
`;

const terminalLines = 24;

/** How many seconds the arrow keys reach back. */
const kept = 300;

async function watch(path: string, count: number): Promise<number> {
  const { stdin, stdout } = process;
  const interactive = stdout.isTTY === true && stdin.isTTY === true;
  const history = [await snapshot(path)];
  const view: View = { history, back: 0, sorting: sortings[0], lines: 0, keys: interactive };
  const draw = () => {
    if (history.length < 2) return;
    view.lines = Math.max((interactive ? stdout.rows : terminalLines) - 1, 4);
    if (interactive) {
      readline.cursorTo(stdout, 0, 0);
      readline.clearScreenDown(stdout);
    }
    stdout.write(`${screen(view).join('\n')}\n`);
  };
  const go = (back: number) => (view.back = Math.min(Math.max(back, 0), history.length - 2));
  const keys: Record<string, () => void> = {
    s: () => (view.sorting = sortings[(sortings.indexOf(view.sorting) + 1) % sortings.length]!),
    left: () => go(view.back + 1),
    right: () => go(view.back - 1),
    end: () => go(0),
  };
  const wake = new AbortController();
  if (interactive) {
    readline.emitKeypressEvents(stdin);
    stdin.setRawMode(true).on('keypress', (_, key: { name?: string; ctrl?: boolean }) => {
      if (key.name === 'q' || (key.ctrl === true && key.name === 'c')) return wake.abort();
      if (key.name === undefined || !Object.hasOwn(keys, key.name)) return;
      keys[key.name]!();
      draw();
    });
  }
  try {
    for (let i = 0; i < count; i++) {
      await setTimeout(1000, undefined, { signal: wake.signal });
      history.push(await snapshot(path));
      if (history.length > kept) history.shift();
      // What is shown of the past stays.
      if (view.back > 0) go(view.back + 1);
      draw();
    }
  } catch (error) {
    if (!wake.signal.aborted) throw error;
  } finally {
    if (interactive) stdin.setRawMode(false).unref();
  }
  return 0;
}

/** `where`: a port of the loopback address, or an address and a port. */
async function serveOn(where: string, path: string): Promise<void> {
  const { address, port } = addressAndPort(/^\d+$/.test(where) ? `127.0.0.1:${where}` : where);
  if (port === undefined) throw new UsageError(`--http needs a port, not "${where}"`);
  const local = await serve(address, port, () => snapshot(path));
  const host = local.family === 'IPv6' ? `[${local.address}]` : local.address;
  console.log(`http://${host}:${local.port}/`);
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      count: { type: 'string' },
      prometheus: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      http: { type: 'string' },
    },
  });
  const [where] = positionals;
  if (where === undefined || positionals.length > 1)
    throw new UsageError(
      'top takes the path of an admin socket or the id of a process: freebsd-rss top SOCKET|PID',
    );
  const path = await findAdminSocket(where);
  if (values.prometheus) process.stdout.write(prometheus(await snapshot(path)));
  else if (values.json) printJson(await snapshot(path));
  else if (values.http !== undefined) await serveOn(values.http, path);
  else
    return watch(
      path,
      values.count === undefined ? Infinity : number('--count', values.count, 1, 2 ** 31),
    );
  return 0;
}

export const top: Command = { usage, run };
