// freebsd-rss info: prints the kernel's configuration, and the plan of a server on it.
import { createHash } from 'node:crypto';

import { capabilities, type Probe, type RssConfig } from 'freebsd-rss';

import { columns, type Command, parse, planHere, printJson, wrap } from './command.js';

const usage = `Configuration, bucket map, and the steering that a server would get here.

  freebsd-rss info [options]

  --listen ADDR   of a server on this address or host name, may be repeated
                  (default: on all addresses)
  --show-key      print the kernel's hash key, not its fingerprint alone
  --json          for programs

Example:
  freebsd-rss info --json | jq .steering
`;

/** What leads from a flow to its bucket and CPU. `key`: how the key is shown. */
export function configurationRows(config: RssConfig, key: string): string[][] {
  const { source, reason, card, buckets, bucketMap, hashAlgorithm, udpHash } = config;
  const rows = [
    ['buckets', `${buckets}, on ${new Set(bucketMap).size} CPUs`],
    ['hash', `${hashAlgorithm}, UDP by ${udpHash}`],
  ];
  if (card !== undefined) {
    const queues = card.queues.map(({ cpu }, queue) => `${queue}:${cpu ?? '?'}`).join(' ');
    const threads = card.threads === undefined ? '' : ', then queued to netisr threads';
    return [
      ['configuration', `the card’s: ${card.interfaces.join(', ')}`],
      ...rows,
      ['queues', `${queues} (queue:CPU), ${card.table.length} table entries${threads}`],
      ['key', config.hashKeyReadable ? 'known' : 'not known: a server learns it from its flows'],
      ...card.advice.map(({ text }) => ['advice', text]),
    ];
  }
  const map = bucketMap.map((cpu, bucket) => `${bucket}:${cpu}`).join(' ');
  const standIn = config.hashKeyReadable ? '' : ' (the kernel’s is for root; this is the default)';
  return [
    ['configuration', source === 'kernel' ? 'the kernel’s' : `virtual (${reason})`],
    ...rows,
    ['key', `${key}${standIn}`],
    ['map', `${map} (bucket:CPU)`],
  ];
}

async function run(args: string[]): Promise<number> {
  const { values } = parse({
    args,
    options: {
      json: { type: 'boolean', default: false },
      listen: { type: 'string', multiple: true, default: [] },
      'show-key': { type: 'boolean', default: false },
    },
  });
  const can = capabilities();
  const plan = await planHere(values.listen);
  const { config, workers, steering, reason, handoff, forward, promote, cpuQuota } = plan;
  const key = Buffer.from(config.hashKey).toString('hex');
  const fingerprint = createHash('sha256').update(config.hashKey).digest('hex').slice(0, 16);
  // A card's key lets others choose flows that meet in one queue: only `learn` shows it.
  const showKey = values['show-key'] && config.source !== 'card';
  const shown = showKey ? { key } : {};
  if (values.json) {
    const configuration = {
      ...config,
      hashKey: undefined,
      keyFingerprint: config.source === 'card' ? undefined : fingerprint,
      ...shown,
    };
    printJson({
      ...{ configuration, steering, reason, handoff, forward, promote, workers, cpuQuota },
      capabilities: can,
    });
    return 0;
  }
  const rows = [
    ['kernel', `${can.platform} ${can.release}${can.jailed ? ', in a jail' : ''}`],
    ...configurationRows(config, showKey ? key : `fingerprint ${fingerprint}`),
    ['listen', values.listen.length === 0 ? 'all addresses' : values.listen.join(', ')],
    ['steering', `${steering}: ${reason}`],
    ['hand-off', handoff ? 'connections and datagrams go to the owner of their bucket' : 'no'],
    ...(cpuQuota === undefined
      ? []
      : [['CPU quota', `the time of ${cpuQuota} CPUs (cpu.max of the control group)`]]),
    ...workers.map(({ workerIndex, cpu, buckets }) => [
      `worker ${workerIndex}`,
      `CPU ${cpu}, NUMA domain ${can.cpuDomains[cpu] ?? 0}, buckets ${
        config.source === 'card' ? `${buckets.length} of ${config.buckets}` : buckets.join(' ')
      }`,
    ]),
  ];
  const width = Math.max(...rows.map(([name]) => name!.length)) + 2;
  console.log(columns(rows.map(([name, text]) => [name!, wrap(text!, width)])));
  const probes = Object.entries(can).filter(
    (entry): entry is [string, Probe] => typeof entry[1] === 'object' && 'available' in entry[1],
  );
  process.stdout.write(
    columns(probes.map(([name, { available, code }]) => [name, available ? 'yes' : `no, ${code}`])),
  );
  return 0;
}

export const info: Command = { usage, run };
