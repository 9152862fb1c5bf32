// Networks for the benchmarks. They need root.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';

import { cpusToMask } from '../lib/server/receive-cpus.js';

/** Addresses for benchmarks: RFC 2544. */
const subnet = '198.18.0.0/30';
const host = '198.18.0.1';
const clientHost = '198.18.0.2';
const namespace = `rss-bench-${process.pid}`;
const near = `rssb${process.pid}`;
const far = 'far';

function run(command: readonly string[]): void {
  const [program, ...args] = command;
  const { status, stderr, error } = spawnSync(program!, args, { encoding: 'utf8' });
  const reason = error?.message ?? stderr.trim();
  if (status !== 0) throw new Error(`${command.join(' ')}: ${reason} (root is needed)`);
}

const ip = (line: string) => run(['ip', ...line.split(' ')]);

/**
 * A veth pair into a network namespace for the clients. Their packets pass through the kernel's
 * receive path, and receive packet steering (RPS) gives each flow a CPU, on either side.
 */
export class Network {
  /** The server's address. */
  readonly host = host;
  /** Words in front of a command that run it at the clients' end. */
  readonly enter: readonly string[] = ['ip', 'netns', 'exec', namespace];
  readonly #atExit = () => this.close();

  constructor() {
    ip(`netns add ${namespace}`);
    process.once('exit', this.#atExit);
    try {
      ip(`link add ${near} type veth peer name ${far} netns ${namespace}`);
      ip(`address add ${host}/30 dev ${near}`);
      ip(`link set ${near} up`);
      ip(`-n ${namespace} address add ${clientHost}/30 dev ${far}`);
      ip(`-n ${namespace} link set ${far} up`);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Flows to servers and to clients are processed on these CPUs, each always on the same one. */
  steer(servers: readonly number[], clients: readonly number[]): void {
    const queues = `/sys/class/net/${near}/queues`;
    for (const queue of readdirSync(queues))
      if (queue.startsWith('rx')) writeFileSync(`${queues}/${queue}/rps_cpus`, cpusToMask(servers));
    const write = `for f in /sys/class/net/${far}/queues/rx-*/rps_cpus; do echo $0 >$f; done`;
    run([...this.enter, 'sh', '-ec', write, cpusToMask(clients)]);
  }

  /** Connections that the server accepts use this congestion control. */
  control(congestion: string): void {
    ip(`route replace ${subnet} dev ${near} src ${host} congctl ${congestion}`);
  }

  close(): void {
    process.off('exit', this.#atExit);
    // With its namespace alone, the pair would end later than the command.
    if (existsSync(`/sys/class/net/${near}`)) ip(`link delete ${near}`);
    ip(`netns delete ${namespace}`);
  }
}

/**
 * An address of the loopback interface with a route of its own. `attributes` are those of the route
 * in ip-route(8).
 */
export class Loopback {
  static readonly host = '127.19.0.1';
  readonly #atExit = () => this.close();

  constructor(attributes: string) {
    ip(`route replace local ${Loopback.host} dev lo ${attributes}`);
    process.once('exit', this.#atExit);
  }

  close(): void {
    process.off('exit', this.#atExit);
    ip(`route delete local ${Loopback.host} dev lo`);
  }
}
