// freebsd-rss info: prints the kernel's configuration, and the plan of a server on it.
import { createHash } from 'node:crypto';

import { capabilities, type Probe } from 'freebsd-rss';

import { columns, type Command, parse, planHere, printJson, wrap } from './command.js';

const usage = `Configuration, bucket map, and the steering that a server would get here.

  freebsd-rss info [--json] [--show-key]

  --show-key   print the hash key, not its fingerprint alone
  --json       for programs

Example:
  freebsd-rss info --json | jq .steering
`;

function run(args: string[]): number {
  const { values } = parse({
    args,
    options: {
      json: { type: 'boolean', default: false },
      'show-key': { type: 'boolean', default: false },
    },
  });
  const can = capabilities();
  const { config, workers, steering, reason, handoff, cpuQuota } = planHere();
  const key = Buffer.from(config.hashKey).toString('hex');
  const fingerprint = createHash('sha256').update(config.hashKey).digest('hex').slice(0, 16);
  const shown = values['show-key'] ? { key } : {};
  if (values.json) {
    const configuration = {
      ...config,
      hashKey: undefined,
      keyFingerprint: fingerprint,
      ...shown,
    };
    printJson({ configuration, steering, reason, handoff, workers, cpuQuota, capabilities: can });
    return 0;
  }
  const map = config.bucketMap.map((cpu, bucket) => `${bucket}:${cpu}`).join(' ');
  const rows = [
    ['kernel', `${can.platform} ${can.release}${can.jailed ? ', in a jail' : ''}`],
    ['configuration', config.source === 'kernel' ? 'the kernel’s' : `virtual (${config.reason})`],
    ['buckets', `${config.buckets}, on ${new Set(config.bucketMap).size} CPUs`],
    ['hash', `${config.hashAlgorithm}, UDP by ${config.udpHash}`],
    [
      'key',
      (values['show-key'] ? key : `fingerprint ${fingerprint}`) +
        (config.hashKeyReadable ? '' : ' (the kernel’s is for root; this is the default)'),
    ],
    ['map', `${map} (bucket:CPU)`],
    ['steering', `${steering}: ${reason}`],
    ['hand-off', handoff ? 'connections go to the owner of their bucket' : 'no'],
    ...(cpuQuota === undefined
      ? []
      : [['CPU quota', `the time of ${cpuQuota} CPUs (cpu.max of the control group)`]]),
    ...workers.map(({ workerIndex, cpu, buckets }) => [
      `worker ${workerIndex}`,
      `CPU ${cpu}, NUMA domain ${can.cpuDomains[cpu] ?? 0}, buckets ${buckets.join(' ')}`,
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
