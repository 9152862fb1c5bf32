// What an activity of the host costs a server, with the remedies that doctor knows. Pure.
import type { Finding } from '../checks.js';
import type { CpuCounts, Reading } from './reading.js';

/** Fewer packets than this per second say nothing about placement. */
const fewestPackets = 1000;
/** Shares of all packets. */
const tooManyOnOneCpu = 0.8;
const tooManyElsewhere = 0.1;

const count = (value: number) => Math.round(value).toLocaleString('en-US');
const list = (cpus: readonly CpuCounts[]) => cpus.map(({ cpu }) => cpu).join(', ');
const percent = (share: number) => `${Math.round(share * 100)} %`;

/** The lines to add that doctor has for this check, or else these. */
type Remedy = (check: RegExp, otherwise: string[]) => Pick<Finding, 'fix'>;

function remedies(doctor: readonly Finding[]): Remedy {
  return (check, otherwise) => {
    const known = doctor.find((one) => check.test(one.check) && one.fix !== undefined)?.fix;
    if (known !== undefined) return { fix: known };
    return otherwise.length === 0 ? {} : { fix: { file: 'the program', lines: otherwise } };
  };
}

function placement(activity: Reading, workers: ReadonlySet<number>, remedy: Remedy): Finding[] {
  const { cpus, time } = activity;
  const packets = cpus.reduce((sum, one) => sum + one.packets, 0);
  if ((packets * 1000) / time < fewestPackets) return [];
  const findings: Finding[] = [];
  const elsewhere = cpus.filter((one) => !workers.has(one.cpu) && one.packets > 0);
  const misplaced = elsewhere.reduce((sum, one) => sum + one.packets, 0) / packets;
  if (misplaced > tooManyElsewhere)
    findings.push({
      check: 'placement',
      grade: 'warning',
      message:
        `${percent(misplaced)} of packets are processed on CPU ${list(elsewhere)}, ` +
        'which has no worker',
      ...remedy(/^(queues of|receive queues|netisr)/, []),
    });
  const busiest = cpus.reduce((most, one) => (one.packets > most.packets ? one : most));
  if (workers.size > 1 && busiest.packets / packets > tooManyOnOneCpu)
    findings.push({
      check: 'one CPU',
      grade: 'warning',
      message: `CPU ${busiest.cpu} processes ${percent(busiest.packets / packets)} of packets`,
      ...remedy(/^(queues of|receive queues|netisr)/, []),
    });
  return findings;
}

/** `workers`: the CPUs that a server's workers have. `doctor`: what doctor finds on this host. */
export function findingsOf(
  activity: Reading,
  workers: ReadonlySet<number>,
  doctor: readonly Finding[],
): Finding[] {
  const remedy = remedies(doctor);
  const { cpus, losses } = activity;
  const { udpFull, listenFull, tcpBacklog } = losses;
  const full = cpus.filter(({ dropped }) => dropped > 0);
  const dropped = full.reduce((sum, one) => sum + one.dropped, 0);
  const squeezed = cpus.filter((one) => one.squeezed > 0);
  const losing: [number, check: string, message: string, Pick<Finding, 'fix'>][] = [
    [
      dropped,
      'queue full',
      `${count(dropped)} packets dropped: the queue of CPU ${list(full)} was full`,
      remedy(/^(queues of|netisr)/, []),
    ],
    [
      squeezed.length,
      'squeezed',
      `CPU ${list(squeezed)} left packets for the next round: it has too much to do`,
      remedy(/^queues of/, []),
    ],
    [
      udpFull,
      'UDP',
      `${count(udpFull)} datagrams dropped: the buffer of a socket was full`,
      remedy(/^(receive buffers|socket buffers)$/, ['udp: { receiveBuffer: 16 << 20 }']),
    ],
    [
      listenFull,
      'accept queue',
      `${count(listenFull)} connections dropped: an accept queue was full`,
      remedy(/^accept queue$/, ['tcp: { backlog: 65535 }']),
    ],
    [
      tcpBacklog,
      'TCP backlog',
      `${count(tcpBacklog)} segments dropped: their sockets were in use by other CPUs`,
      remedy(/^queues of/, []),
    ],
  ];
  return [
    ...placement(activity, workers, remedy),
    ...losing
      .filter(([happened]) => happened > 0)
      .map(([, check, message, fix]): Finding => ({ check, grade: 'warning', message, ...fix })),
  ];
}
