// freebsd-rss replay: compares the card map and the key learner with a recording.
import { readFileSync } from 'node:fs';

import { parseRecording, type Recording } from '../lib/rss/card/recording.js';
import { isWrong, type Replay, replay as replayRecording } from '../lib/rss/card/replay.js';
import { columns, type Command, parse, printJson, UsageError, wrap } from './command.js';

const usage = `Holds the card's map and the learnt key against a recording.

  freebsd-rss replay FILE [--json]

  FILE      what freebsd-rss record has written
  --json    for programs

Each flow's hash is predicted before the flow is looked at, then learnt from.
Exit status: 0 nothing is wrong, 1 something is.

Example:
  freebsd-rss replay igb.json
`;

function read(file: string): Recording {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  try {
    return parseRecording(text);
  } catch (error) {
    // A message of JSON.parse() may quote several lines of the file.
    throw new UsageError(`${file}: ${(error as Error).message.replaceAll(/\s+/g, ' ')}`);
  }
}

function json({ source, reason, map, flows, queue, cpu, hash, learner }: Replay) {
  const shown = map && {
    interfaces: map.interfaces,
    queues: map.queues,
    tableSize: map.table.length,
    buckets: map.buckets,
    bucketCpu: map.bucketCpu.map((one) => one ?? null),
    workerCpu: map.workerCpu,
    advice: map.advice,
  };
  return { source, reason, map: shown, flows, queue, cpu, hash, learner };
}

function print(result: Replay): void {
  const { source, reason, map, flows, learner } = result;
  const lines = [`source  ${source}${reason === undefined ? '' : `: ${wrap(reason, 8)}`}`];
  if (map !== undefined) {
    const cpus = map.queues.map(({ cpu }, queue) => `${queue}:${cpu ?? '?'}`).join(' ');
    lines.push(`card    ${map.interfaces.join(', ')}, ${map.table.length} table entries`);
    lines.push(`queues  ${wrap(`${cpus} (queue:CPU)`, 8)}`);
    for (const { text, commands } of map.advice)
      lines.push(`advice  ${wrap(text, 8)}`, ...commands.map((command) => `        ${command}`));
  }
  const { samples, keyChanges, corrupted, knownBits } = learner;
  lines.push(
    `key     ${knownBits} of 319 bits, ${samples} samples kept, ${keyChanges} new keys, ` +
      `${corrupted} wrong ids`,
    `flows   ${flows}`,
  );
  process.stdout.write(`${lines.join('\n')}\n\n`);
  const row = (name: 'queue' | 'cpu' | 'hash', title: string) => {
    const { right, wrong, unknown } = result[name];
    return [title, `${right}`, `${wrong}`, `${unknown}`];
  };
  process.stdout.write(
    columns([
      ['', 'right', 'wrong', 'unknown'],
      row('queue', 'queue'),
      row('cpu', 'CPU'),
      row('hash', 'hash'),
    ]),
  );
}

function run(args: string[]): number {
  const { values, positionals } = parse({
    args,
    options: { json: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0) throw new UsageError('replay needs one file');
  const result = replayRecording(read(file));
  if (values.json) printJson(json(result));
  else print(result);
  return isWrong(result) ? 1 : 0;
}

export const replay: Command = { usage, run };
