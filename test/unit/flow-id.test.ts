// Flow ids of a kernel, judged by its key: the flows are made up, the hashes are ours.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { createServer, rssConfig } from 'freebsd-rss';

import { hashTypeInner, hashTypeNumber } from '../../lib/contract.js';
import { hashesOf, judgeFlowId } from '../../lib/rss/flow-id.js';
import type { ObservedFlow } from '../../lib/rss/key-learner.js';
import { canCompare, FlowIdWatch } from '../../lib/server/flow-id-watch.js';

const { hashKey } = rssConfig({ source: 'virtual' });
const otherKey = new Uint8Array(40).fill(0x5a);

/** A flow with the hash by a key over these fields. */
function flow(
  transport: 'tcp' | 'udp',
  hashType: number,
  fields: '4-tuple' | '2-tuple',
  key = hashKey,
): ObservedFlow {
  const tuple = {
    transport,
    ...{ peer: '10.1.2.3', peerPort: 40_000, local: '10.0.0.2', localPort: 80 },
  };
  return { ...tuple, hashType, flowId: hashesOf(key, tuple)[fields] };
}

describe('a flow id', () => {
  const type = hashTypeNumber;
  for (const [what, observed, verdict] of [
    ['of a kernel with the same key', flow('tcp', type['tcp-ipv4'], '4-tuple'), 'right'],
    ['of addresses alone', flow('udp', type.ipv4, '2-tuple'), 'right'],
    ['of UDP ports, which the kernel does not hash', flow('udp', 135, '4-tuple'), 'udp-ports'],
    ['of addresses, by a card that claims ports', flow('tcp', 130, '2-tuple'), 'other-fields'],
    ['by another key', flow('tcp', type['tcp-ipv4'], '4-tuple', otherKey), 'other-key'],
    ['of inner headers', flow('tcp', 130 | hashTypeInner, '4-tuple', otherKey), 'tunnel'],
    ['of a type that names no fields', flow('tcp', type.opaque, '4-tuple'), undefined],
  ] as const)
    it(`${what} is ${verdict ?? 'not judged'}`, () => {
      assert.equal(judgeFlowId(observed, hashKey, '2-tuple'), verdict);
    });

  it('of UDP ports is right where the configuration hashes them', () => {
    assert.equal(judgeFlowId(flow('udp', 135, '4-tuple'), hashKey, '4-tuple'), 'right');
  });
});

describe('the watch over flow ids', () => {
  it('counts, and warns once with a sample', () => {
    const warnings: string[] = [];
    const counts = [0, 0];
    let samples = [flow('tcp', 130, '4-tuple')];
    let wanted = 0;
    const watch = new FlowIdWatch(
      { hashKey, udpHash: '2-tuple' },
      {
        samples: () => samples,
        want: (count) => (wanted += count),
        compared(flows, wrong) {
          counts[0]! += flows;
          counts[1]! += wrong;
        },
        warning: (message, code) => warnings.push(`${code} ${message}`),
      },
    );
    watch.turn();
    assert.deepEqual([counts, warnings], [[1, 0], []]);
    samples = [flow('tcp', 130, '4-tuple', otherKey), flow('tcp', 63, '4-tuple', otherKey)];
    watch.turn();
    watch.turn();
    watch.close();
    assert.deepEqual(counts, [3, 2]);
    assert.equal(wanted, 4 * 4);
    assert.equal(warnings.length, 1);
    const text =
      /^RSS_FLOW_ID tcp from 10\.1\.2\.3 port 40000 to 10\.0\.0\.2 port 80 has .*another/;
    assert.match(warnings[0]!, text);
  });

  it('needs a kernel whose key can be read', () => {
    const config = rssConfig({ source: 'virtual' });
    assert.equal(canCompare(config), false);
    assert.equal(canCompare({ ...config, source: 'kernel' }), true);
    assert.equal(canCompare({ ...config, source: 'kernel', hashKeyReadable: false }), false);
  });
});

describe("the key 'random'", () => {
  const keyOf = (server: ReturnType<typeof createServer>) =>
    Buffer.from(server.plan().config.hashKey).toString('hex');
  const options = { worker: 'none', source: 'virtual', key: 'random' } as const;

  it('is another one in each server, and stays', () => {
    const server = createServer(options);
    assert.match(keyOf(server), /^[\da-f]{80}$/);
    assert.equal(keyOf(server), keyOf(server));
    assert.notEqual(keyOf(server), keyOf(createServer(options)));
  });

  it('is refused where it is misspelt', () => {
    assert.throws(() => createServer({ ...options, key: 'rndom' }), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /hexadecimal digits, or 'random'/,
    });
  });
});
