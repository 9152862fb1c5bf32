// A host that says that it has a card, igb0, at 127.0.0.1.
import assert from 'node:assert/strict';

import { isFailure } from '../../lib/errors.js';
import { native } from '../../lib/native.js';

/** Names and texts of sysctl(8), by the name that is asked for. */
export type Values = Record<string, [string, string][]>;

export const queuesOn = (cpus: readonly number[]): [string, string][] =>
  cpus.map((cpu, queue) => [`dev.igb.0.iflib.rxq${queue}.cpu`, `${cpu}`]);

/** Two queues, whose CPUs this process may use. Returns the values, which may then be changed. */
export function pretendCard(): Values {
  const cpus = native.processCpus();
  assert.ok(!isFailure(cpus));
  const values: Values = {
    'dev.igb.0.iflib': queuesOn([0, 1].map((queue) => cpus[queue % cpus.length]!)),
    'net.isr': [['net.isr.dispatch', 'direct']],
  };
  const absent = { errno: -2, syscall: 'sysctl' };
  const card = { name: 'igb0', device: 'igb0', kind: '', up: true, below: [] };
  native.networkInterfaces = () => [{ ...card, addresses: ['127.0.0.1'] }];
  native.systemValues = (name) => values[name] ?? absent;
  native.kernelRssConfig = () => ({ ...absent, detail: 'no options RSS' });
  return values;
}
