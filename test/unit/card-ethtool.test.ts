// What drivers of Linux tell of their cards, from recorded answers. Here are only interfaces that
// tell nothing.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';

import { bucketOf, type RssConfig } from 'freebsd-rss';

import { checkReceiveHash } from '../../cli/receive-hash.js';
import { isFailure, systemError } from '../../lib/errors.js';
import { native } from '../../lib/native.js';
import { byEthtool, type EthtoolCard, queueOfInterrupt } from '../../lib/rss/card/ethtool.js';

const allowed = [0, 1, 2, 3];
const virtual = (bits: number): RssConfig => native.virtualRssConfig(allowed, bits, 'no sysctl');
const key = Uint8Array.from({ length: 40 }, (_, i) => 3 * i + 1);

/** ixgbe: entry % queues. */
const card = (queueCpus: (number | undefined)[], more: Partial<EthtoolCard> = {}): EthtoolCard => ({
  name: 'eth0',
  key,
  table: Array.from({ length: 128 }, (_, entry) => entry % queueCpus.length),
  queueCpus,
  ...more,
});

describe('the hash of cards of Linux', () => {
  const plain = [0, 1, 2, 3, 0, 1, 2, 3];
  const rows: [string, EthtoolCard[], boolean, number[]?][] = [
    ['queues on all CPUs', [card([3, 2, 1, 0])], true, [3, 2, 1, 0, 3, 2, 1, 0]],
    ['i40e, a key of 52 bytes', [card([3, 2, 1, 0], { key: Buffer.alloc(52, key) })], true],
    ['two cards that agree', [card([1, 0, 3, 2]), card([1, 0, 3, 2], { name: 'eth1' })], true],
    ['two cards, other CPUs', [card([1, 0, 3, 2]), card([0, 1, 2, 3])], true, plain],
    ['two queues for four CPUs', [card([3, 2])], true, plain],
    ['three queues', [card([3, 2, 1])], true, plain],
    ['interrupts that are not known', [card([undefined, 2, 1, 0])], true, plain],
    ['a CPU that is not allowed', [card([9, 2, 1, 0])], true, plain],
    ['a table of another size', [card([3, 2, 1, 0], { table: [0, 1, 2, 3] })], true, plain],
    ['no table', [card([3, 2, 1, 0], { table: [] })], true, plain],
    ['two keys', [card([3, 2, 1, 0]), card([3, 2, 1, 0], { key: key.map((b) => b ^ 1) })], false],
    ['no key', [card([3, 2, 1, 0], { key: new Uint8Array(0) })], false],
    ['a key of zeros', [card([3, 2, 1, 0], { key: new Uint8Array(40) })], false],
    ['no card', [], false],
  ];
  for (const [what, cards, followed, map] of rows)
    it(what, () => {
      const before = virtual(3);
      const config = byEthtool(before, cards, allowed);
      if (!followed) return assert.equal(config, before);
      assert.equal(config.source, 'virtual');
      assert.match(config.reason!, /^no sysctl; .*eth0/);
      assert.deepEqual(Buffer.from(config.hashKey), Buffer.from(cards[0]!.key.subarray(0, 40)));
      if (map !== undefined) assert.deepEqual(config.bucketMap, map);
      // The bucket leads to the CPU of the queue that the card's hash selects.
      const [{ table, queueCpus }] = cards as [EthtoolCard];
      if (config.reason!.includes('table'))
        for (let sourcePort = 1; sourcePort < 200; sourcePort++) {
          const ends = { source: '10.0.0.1', destination: '10.0.0.2', destinationPort: 80 };
          const { flowId, cpu } = bucketOf({ protocol: 'tcp', sourcePort, ...ends }, config);
          assert.equal(cpu, queueCpus[table[flowId % table.length]!]);
        }
    });
});

it('finds the queue in the name of an interrupt', () => {
  const names: [string, number | undefined][] = [
    ['eth0-TxRx-3', 3],
    ['ens5-Tx-Rx-12', 12],
    ['i40e-eth0-TxRx-0', 0],
    ['eth0-rx-1', 1],
    ['virtio0-input.2', 2],
    ['mlx5_comp7@pci:0000:3b:00.0', 7],
    ['gve-ntfy-blk5@pci:0000:00:04.0', 5],
    ['mlx5_async0@pci:0000:3b:00.0', undefined],
    ['eth0', undefined],
    ['smp_affinity', undefined],
  ];
  for (const [name, queue] of names) assert.equal(queueOfInterrupt(name), queue, name);
});

it('an interface without queues is refused', { skip: process.platform !== 'linux' }, () => {
  for (const [name, code] of [
    ['lo', 'ENOTSUP'],
    ['no-such-name0', 'ENODEV'],
    ['a-name-that-is-too-long', 'ENODEV'],
  ] as const) {
    for (const answer of [native.cardHash(name), native.cardCounters(name)]) {
      assert.ok(isFailure(answer));
      assert.equal(systemError(answer).code, code);
    }
    const counters = native.queueCounters(name);
    if (name === 'lo') assert.ok(isFailure(counters) || counters.length === 0);
    else assert.equal(isFailure(counters) && systemError(counters).code, code);
  }
});

const skip = process.platform !== 'linux' && 'only Linux has the filter';

describe('the hash of received packets', { skip }, () => {
  it('is no Toeplitz hash over loopback', async () => {
    const server = net.createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as net.AddressInfo;
    assert.equal(native.hasReceiveHash('127.0.0.1', '127.0.0.1', port, key), false);
    const { status, stderr } = spawnSync(
      process.execPath,
      ['dist/cli/main.js', 'learn', `127.0.0.1:${port}`],
      { encoding: 'utf8' },
    );
    assert.deepEqual([status, stderr], [1, 'lo: its driver tells no hash key\n']);
    server.close();
    await once(server, 'close');
    const refused = native.hasReceiveHash('127.0.0.1', '127.0.0.1', port, key);
    assert.ok(isFailure(refused));
    assert.equal(systemError(refused).code, 'ECONNREFUSED');
  });

  it('is compared for a few connections', async (t) => {
    const told = Buffer.alloc(52, key);
    t.mock.method(native, 'cardHash', () => ({ key: told, table: [0, 1], queues: 2 }));
    const answers = [true, false, true, false, true];
    t.mock.method(native, 'hasReceiveHash', (...args: unknown[]) => {
      assert.deepEqual(args, ['127.0.0.1', '127.0.0.1', 7, key]);
      return answers.shift() ?? true;
    });
    const check = () => checkReceiveHash('127.0.0.1', 7);
    assert.deepEqual((await check()).checked, { connections: 4, byKey: 2 });
    assert.deepEqual(await check(), { interface: 'lo', checked: { connections: 8, byKey: 8 } });
  });
});
