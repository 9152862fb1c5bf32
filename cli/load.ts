// freebsd-rss load: sends traffic to a server and measures the answers.
import { writeFileSync } from 'node:fs';

import type { Command } from './command.js';
import { printJson } from './command.js';
import { chart, loadVega } from './load/chart.js';
import { Clients } from './load/clients.js';
import { findMax } from './load/find-max.js';
import { type LoadOptions, parseLoadOptions } from './load/options.js';
import { asJson, heading, secondLine, secondsHead, summary, thousands } from './load/report.js';
import type { Outcome } from './load/tally.js';

const usage = `Traffic for a server: udp:// and tcp:// (echo), memcached://, http://.

  freebsd-rss load [options] URL

  -c, --connections N (16)      -d, --depth N, in flight on each (1)
  -w, --workers N (1)           -s, --seconds N (10), after --warmup N (1)
  -r, --rate N       a second, on time; else an answer brings the next request
  --timeout MS       until a request counts as lost (1000, of --find-max 100)
  --size SIZES       bytes: 64, 64-1400, 64:7,1400:3, imix (64)
  --keys N, --zipf E, --sets PERCENT, --fill   of memcached: keys (10000),
                     exponent of popularity (0), sets (10), store all first
  --from ADDR,...    source addresses, in turn; or
  --from CIDR --per-bucket N   flows for each bucket of the server; or
  --sources FILE     flows that \`freebsd-rss flows\` has printed (-: stdin)
  --key HEX or --admin SOCKET|PID, --buckets N, --udp-hash 2-tuple|4-tuple
                     the server's, where they are not this host's
  --find-max         search the highest rate without loss
  --json, --svg FILE   for programs; a chart (needs the package vega)

Latency counts from when a request was due. A rate keeps its CPU busy.

Example:
  freebsd-rss load -c 64 --rate 100000 udp://10.0.0.2:7007
`;

async function measure(options: LoadOptions, clients: Clients): Promise<Outcome> {
  const { rate, seconds, json } = options;
  if (!json) process.stdout.write(`\n${secondsHead}`);
  return clients.run({ rate, seconds }, (second) => {
    if (!json) process.stdout.write(secondLine(second));
  });
}

interface TrialSummary {
  rate: number;
  passed: boolean;
  lost: number;
}

async function search(
  options: LoadOptions,
  clients: Clients,
  trials: TrialSummary[],
): Promise<Outcome | undefined> {
  const { seconds, timeout, json } = options;
  const say = (text: string) => json || process.stdout.write(text);
  say('\n');
  const best = await findMax(clients, seconds, timeout, ({ rate, passed, outcome }) => {
    const { lost } = outcome.counts;
    trials.push({ rate, passed, lost });
    const became = passed
      ? 'passes'
      : `${thousands(lost)} lost, ${thousands(outcome.rate)} answered`;
    say(`${thousands(rate).padStart(12)} a second: ${became}\n`);
  });
  if (best === undefined) say('no rate is without loss\n');
  return best?.outcome;
}

async function run(args: string[]): Promise<number> {
  const options = await parseLoadOptions(args);
  const vega = options.svg === undefined ? undefined : await loadVega();
  const clients = await Clients.start(options, (message) => console.error(`warning: ${message}`));
  // The first SIGINT ends the trial and prints its results; a second one ends the process.
  const stop = () => clients.stop();
  process.once('SIGINT', stop);
  try {
    if (!options.json) process.stdout.write(heading(options));
    if (options.fill) await clients.run({ rate: undefined, seconds: 3600, fill: true });
    if (options.warmup > 0 && !clients.stopped)
      await clients.run({ rate: options.rate, seconds: options.warmup });
    if (clients.stopped) return 1;
    const trials: TrialSummary[] = [];
    const outcome = options.findMax
      ? await search(options, clients, trials)
      : await measure(options, clients);
    const { buckets } = clients;
    if (options.json)
      printJson({
        ...(options.findMax ? { trials } : {}),
        ...(outcome === undefined ? {} : asJson(options, outcome, buckets)),
      });
    else if (outcome !== undefined) process.stdout.write(summary(options, outcome, buckets));
    if (outcome === undefined) return 1;
    if (vega !== undefined) writeFileSync(options.svg!, await chart(vega, options.url, outcome));
    return outcome.counts.answered > 0 ? 0 : 1;
  } finally {
    process.off('SIGINT', stop);
    await clients.close();
  }
}

export const load: Command = { usage, run };
