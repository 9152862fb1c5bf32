// Chooses the steering of a server, and whether flows are handed off under it.
import { argumentValueError, unsupported } from '../../errors.js';
import type { RssConfig } from '../../rss/config.js';
import type { Steering } from '../../socket/listen.js';
import type { Capabilities } from '../../capabilities.js';
import type { Forward, Promote } from '../endpoint-options.js';
import { bpfCpu } from './bpf-cpu.js';
import { bpfToeplitz } from './bpf-toeplitz.js';
import { listenBucket } from './listen-bucket.js';
import { type SteeringHost, type SteeringMode, unusable } from './mode.js';
import { reuseportLb } from './reuseport-lb.js';
import { single } from './single.js';

export type { SteeringHost, SteeringMode } from './mode.js';

/** 'auto' takes the first that works. */
const byPreference: readonly SteeringMode[] = [
  listenBucket,
  reuseportLb,
  bpfCpu,
  bpfToeplitz,
  single,
];

/** Whether connections move to their bucket's owner; 'auto': where that improves locality. */
export type Handoff = 'auto' | 'always' | 'never';

export interface SteeringChoice {
  mode: SteeringMode;
  /** Why, in a sentence that doctor and info print. */
  reason: string;
}

export function steeringMode(name: Steering): SteeringMode {
  return byPreference.find((mode) => mode.name === name)!;
}

/** The named steering, or under 'auto' the best that works. Throws ENOTSUP with the reason. */
export function chooseSteering(wanted: Steering | 'auto', host: SteeringHost): SteeringChoice {
  const { platform } = host.capabilities;
  if (platform === 'stub') throw unsupported('listen', 'freebsd-rss serves FreeBSD and Linux');
  if (host.inherited) return inheritedSteering(wanted);
  if (wanted !== 'auto') {
    const mode = steeringMode(wanted);
    const { usable, reason } = mode.judge(host);
    if (!usable) throw unsupported('listen', `steering '${wanted}': ${reason}`);
    return { mode, reason };
  }
  const passed: string[] = [];
  for (const mode of byPreference.filter(({ systems }) => systems.includes(platform))) {
    const { automatic, reason } = mode.judge(host);
    if (automatic)
      return { mode, reason: [reason, ...passed.map((text) => `not ${text}`)].join('; ') };
    passed.push(`${mode.name} (${reason})`);
  }
  throw unsupported('listen', passed.join('; '));
}

/** Whether datagrams go to the worker that owns their bucket. */
export function decideForward(wanted: Forward, mode: SteeringMode, config: RssConfig): boolean {
  if (!mode.bucketChoosesWorker && wanted === true)
    throw argumentValueError(
      `"forward" cannot be true with steering '${mode.name}', which serves flows by CPU`,
    );
  return wanted === 'auto' ? mode.handsOff(config) : wanted;
}

/**
 * Promotion costs as much as forwarding saves in 10 datagrams (Linux 6.18, docs/performance.md).
 * The rest keeps descriptors for flows that last.
 */
const promoteAfter = 32;

/** At how many forwarded datagrams a flow gets a socket of its own; 0: it never does. */
export function decidePromote(
  wanted: Promote,
  forward: boolean,
  mode: SteeringMode,
  capabilities: Capabilities,
): number {
  const verdict = mode.judgePromotion?.(capabilities) ?? unusable('nothing is forwarded for long');
  if (typeof wanted !== 'number')
    return wanted === 'auto' && forward && verdict.automatic ? promoteAfter : 0;
  if (!forward)
    throw argumentValueError('"promote" cannot be a number where datagrams are not forwarded');
  if (!verdict.usable)
    throw argumentValueError(
      `"promote" cannot be a number with steering '${mode.name}': ${verdict.reason}`,
    );
  return wanted;
}

function inheritedSteering(wanted: Steering | 'auto'): SteeringChoice {
  if (wanted !== 'auto' && wanted !== 'single')
    throw argumentValueError(`"steering" must be 'single' with "fd", got '${wanted}'`);
  return { mode: single, reason: 'inherited sockets are served by one worker, which hands off' };
}

/** Whether connections go to the worker that owns their bucket. */
export function decideHandoff(wanted: Handoff, mode: SteeringMode, config: RssConfig): boolean {
  if (!mode.bucketChoosesWorker && wanted === 'always')
    throw argumentValueError(
      `"handoff" cannot be 'always' with steering '${mode.name}', which serves flows by CPU`,
    );
  const { tcpHash } = config;
  if (tcpHash === '2-tuple' && wanted === 'never')
    throw argumentValueError(`"handoff" cannot be 'never' with "hash" '2-tuple'`);
  if (tcpHash === '2-tuple') return true;
  return wanted === 'auto' ? mode.handsOff(config) : wanted === 'always';
}
