// What a host says of its cards, as a made-up FreeBSD answers.
import assert from 'node:assert/strict';
import { it } from 'node:test';

import { native } from '../../lib/native.js';
import { readCardKey, readCardMap } from '../../lib/rss/card/host.js';
import type { CardMap } from '../../lib/rss/card/map.js';

it('a renamed interface has its driver’s values and its own key', (t) => {
  const absent = { errno: -2, syscall: 'sysctl' };
  const key = Uint8Array.from({ length: 40 }, (_, i) => i + 1);
  const card = { name: 'lan0', device: 'hn1', kind: '', up: true, below: [] };
  const values: Record<string, [string, string][]> = {
    'dev.hn.1.rss_ind_size': [['dev.hn.1.rss_ind_size', '128']],
    'dev.hn.1.channel': [
      ['dev.hn.1.channel.14.cpu', '0'],
      ['dev.hn.1.channel.14.sub.1.cpu', '1'],
    ],
  };
  t.mock.method(native, 'networkInterfaces', () => [{ ...card, addresses: ['10.0.0.2'] }]);
  t.mock.method(native, 'systemValues', (name: string) => values[name] ?? absent);
  t.mock.method(native, 'cardHash', (name: string) =>
    name === 'lan0' ? { key, table: [], queues: 0 } : { errno: -6, syscall: 'ioctl' },
  );
  const map = readCardMap({ hosts: ['10.0.0.2'], interface: undefined, allowedCpus: [0, 1] });
  assert.equal(map?.source, 'card');
  const { interfaces, devices, queues } = map as CardMap;
  assert.deepEqual([interfaces, devices], [['lan0'], ['hn1']]);
  assert.deepEqual(
    queues.map(({ cpu }) => cpu),
    [0, 1],
  );
  assert.deepEqual(readCardKey(map as CardMap), key);
});
