// Counters in Prometheus' text format, version 0.0.4.
import type {
  CounterName,
  RssSummary,
  ServerSnapshot,
  SocketStats,
  WorkerStats,
} from 'freebsd-rss';

const help: Record<CounterName, string> = {
  accepted: 'Connections accepted.',
  served: 'Connections given to the server.',
  handedOff: 'Connections handed off to the worker that owns their bucket.',
  inboxFull: 'Hand-offs that the owner had no room for.',
  misdirected: 'Connections and datagrams read by another worker than the owner.',
  bytesIn: 'Payload received.',
  bytesOut: 'Payload sent.',
  datagramsIn: 'Datagrams given to the server.',
  datagramsOut: 'Datagrams sent.',
  datagramsForwarded: 'Datagrams given to the worker that owns their bucket.',
  datagramsTruncated: 'Datagrams longer than the memory for them.',
  datagramsDropped: 'Datagrams that the kernel did not take.',
  requests: 'Requests, as the server counts them.',
  closed: 'Connections that have ended.',
  acceptPauses: 'How often accepting paused at the limit of connections.',
  acceptPausedUs: 'Microseconds that accepting paused.',
  withoutId: 'Connections and datagrams to which the network card gave no flow id.',
  placementSamples: 'Sampled connections and batches whose packets’ CPU is known.',
  misplaced: 'Of the placement samples, those whose packets another CPU processed.',
  connectedDrops: 'Datagrams that full UDP sockets of connect() have lost.',
  promotedDrops: 'Datagrams that full sockets of promoted flows have lost.',
  handshakes: 'TLS handshakes that have been completed.',
  handshakesFailed: 'TLS connections that have ended before their handshake was complete.',
  mispredicted: 'Outgoing connections with a flow id by another key than the kernel’s.',
};

interface WorkerFamily {
  name: string;
  text: string;
  type: 'counter' | 'gauge';
  /** Further labels, and the value. */
  samples(worker: WorkerStats): [label: string, value: number][];
}

const ofWorkers: WorkerFamily[] = [
  {
    name: 'loop_delay_p99_seconds',
    text: 'How late the event loop was in the last second, 99th percentile.',
    type: 'gauge',
    samples: ({ loopDelayP99Us }) => [['', loopDelayP99Us / 1e6]],
  },
  {
    name: 'loop_utilization_ratio',
    text: 'Share of the time in which the event loop was busy.',
    type: 'gauge',
    samples: ({ loopUtilization }) => [['', loopUtilization]],
  },
  {
    name: 'worker_cpu_seconds_total',
    text: 'CPU time of the worker thread.',
    type: 'counter',
    samples: ({ userCPUTime, systemCPUTime }) => [
      [',mode="user"', userCPUTime / 1e6],
      [',mode="system"', systemCPUTime / 1e6],
    ],
  },
  {
    name: 'worker_context_switches_total',
    text: 'Switches of the worker thread: it waited, or another thread was given its CPU.',
    type: 'counter',
    samples: ({ voluntaryContextSwitches, involuntaryContextSwitches }) => [
      [',kind="voluntary"', voluntaryContextSwitches],
      [',kind="involuntary"', involuntaryContextSwitches],
    ],
  },
  {
    name: 'lock_waits_total',
    text: 'How often the worker found an OwnerLock taken.',
    type: 'counter',
    samples: ({ lockWaits }) => [['', lockWaits]],
  },
  {
    name: 'lock_wait_seconds_total',
    text: 'How long the worker waited for OwnerLocks.',
    type: 'counter',
    samples: ({ lockWaitUs }) => [['', lockWaitUs / 1e6]],
  },
  {
    name: 'inbox_length',
    text: 'Connections and datagrams in the inboxes of the worker’s buckets.',
    type: 'gauge',
    samples: ({ inboxLength }) => [['', inboxLength]],
  },
  {
    name: 'inbox_peak',
    text: 'The most that ever waited in an inbox of the worker’s buckets.',
    type: 'gauge',
    samples: ({ inboxPeak }) => [['', inboxPeak]],
  },
  {
    name: 'promoted_flows',
    text: 'Flows that have a socket of their own.',
    type: 'gauge',
    samples: ({ promoted }) => [['', promoted.now]],
  },
  {
    name: 'promotions_total',
    text: 'Flows that got a socket of their own, why it was closed, and why they got none.',
    type: 'counter',
    samples: ({ promoted: { ever, idle, evicted, ...given } }) => [
      [',event="opened"', ever],
      [',event="idle"', idle],
      [',event="evicted"', evicted],
      [',event="no descriptor"', given.withoutDescriptor],
      [',event="no address"', given.withoutAddress],
      [',event="inbox full"', given.withoutRoom],
    ],
  },
  {
    name: 'promoted_strays_total',
    text: 'Datagrams of other peers that came to the sockets of promoted flows.',
    type: 'counter',
    samples: ({ promoted }) => [['', promoted.strays]],
  },
];

const counterName = (name: string) =>
  `${name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`;

type Samples = readonly (readonly [labels: string, value: number])[];

/** The lines of a family. A sample is its labels, if it has any, and its value. */
function lines(name: string, text: string, type: 'counter' | 'gauge', samples: Samples): string[] {
  if (samples.length === 0) return [];
  return [
    `# HELP ${name} ${text}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(([labels, value]) => `${name}${labels === '' ? '' : `{${labels}}`} ${value}`),
  ];
}

/** A family of this package. */
const family = (name: string, text: string, type: 'counter' | 'gauge', samples: Samples) =>
  lines(`freebsd_rss_${name}`, text, type, samples);

function socketLabels({ protocol, address, port, workerIndex, bucket }: SocketStats): string {
  const own = bucket === undefined ? '' : `,bucket="${bucket}"`;
  return `protocol="${protocol}",address="${address}",port="${port}",worker="${workerIndex}"${own}`;
}

/** What the kernel has dropped: for each socket if it counts so, and of the server or the host. */
function drops({ sockets, kernelDrops }: ServerSnapshot): string[] {
  const of = (value: (socket: SocketStats) => number | undefined) =>
    sockets.flatMap((socket): [string, number][] => {
      const number = value(socket);
      return number === undefined ? [] : [[socketLabels(socket), number]];
    });
  const scope = `of="${kernelDrops.of}"`;
  return [
    ...family(
      'kernel_drops_total',
      'Datagrams and connection attempts that the kernel dropped because sockets were full.',
      'counter',
      [
        [`protocol="udp",${scope}`, kernelDrops.datagrams],
        [`protocol="tcp",${scope}`, kernelDrops.connections],
      ],
    ),
    ...family(
      'socket_drops_total',
      'What the kernel dropped because this socket was full.',
      'counter',
      of(({ dropped }) => dropped),
    ),
    ...family(
      'accept_queue_length',
      'Connections that wait to be accepted.',
      'gauge',
      of(({ waiting }) => waiting),
    ),
  ];
}

const ofServer = {
  movedBuckets: 'Buckets that have moved to another worker.',
  comparedFlowIds: 'Sampled flow ids that were compared with the hash by the kernel’s key.',
  wrongFlowIds: 'Compared flow ids that differ.',
};

/** One metric family per counter, one sample per bucket; then the program's own metrics. */
export function prometheus(snapshot: ServerSnapshot): string {
  const { buckets, workers, rss, metrics, uptimeMs, residentBytes } = snapshot;
  return [
    ...family('uptime_seconds', 'Time since listen().', 'gauge', [['', uptimeMs / 1000]]),
    ...family('resident_memory_bytes', 'Memory of the process.', 'gauge', [['', residentBytes]]),
    ...Object.entries(help).flatMap(([name, text]) =>
      family(
        counterName(name),
        text,
        'counter',
        buckets.map((row) => [
          `bucket="${row.bucket}",cpu="${row.cpu}",worker="${row.owner}"`,
          row[name as CounterName],
        ]),
      ),
    ),
    ...Object.entries(ofServer).flatMap(([name, text]) =>
      family(counterName(name), text, 'counter', [['', snapshot[name as keyof typeof ofServer]]]),
    ),
    ...ofWorkers.flatMap(({ name, text, type, samples }) =>
      family(
        name,
        text,
        type,
        workers.flatMap((worker) => {
          const labels = `cpu="${worker.cpu}",worker="${worker.workerIndex}"`;
          return samples(worker).map(([more, value]): [string, number] => [labels + more, value]);
        }),
      ),
    ),
    ...drops(snapshot),
    ...placement(rss),
    ...metrics.flatMap(({ name, help, type, value }) => lines(name, help, type, [['', value]])),
    '',
  ].join('\n');
}

/** Where buckets are from: the kernel, cards, or nowhere. */
function placement({ source, cards, queueCpus }: RssSummary): string[] {
  const card = cards.join(' ');
  const known = queueCpus.flatMap((cpu, index): [string, number][] =>
    cpu === null ? [] : [[`card="${card}",queue="${index}"`, cpu]],
  );
  return [
    ...family('source_info', 'Where buckets are from, and the cards whose they are.', 'gauge', [
      [`source="${source}",card="${card}"`, 1],
    ]),
    ...family('queue_cpu', 'CPU of a receive queue.', 'gauge', known),
  ];
}
