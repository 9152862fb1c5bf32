// Socket buffers: what is said when the kernel grants less than was asked for.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';

import { createServer, openListener } from 'freebsd-rss';

import { bufferWarning, maxsockbufFor } from '../../lib/socket/buffers.js';

describe('socket buffers', () => {
  const short = [
    { buffer: 'receive', wanted: 4 << 20, granted: 212_992 },
    { buffer: 'send', wanted: 2 << 20, granted: 212_992 },
  ] as const;

  it('counts the mbufs of FreeBSD', () => {
    assert.equal(maxsockbufFor(4 << 20), 4_718_592);
    assert.equal(maxsockbufFor(2048), 2304);
  });

  it('names the line of each system', () => {
    assert.equal(bufferWarning([]), undefined);
    assert.match(bufferWarning(short, 'freebsd')!, /: sysctl kern\.ipc\.maxsockbuf=4718592$/);
    assert.match(
      bufferWarning(short, 'linux')!,
      /: sysctl net\.core\.rmem_max=4194304 net\.core\.wmem_max=2097152$/,
    );
    assert.match(
      bufferWarning(short, 'linux')!,
      /^receive buffer 212992 bytes instead of 4194304, send buffer 212992 /,
    );
  });

  it('that are too large are no error of a listener, but a warning', async () => {
    const warned = once(process, 'warning');
    using listener = openListener({
      protocol: 'udp',
      host: '127.0.0.1',
      receiveBuffer: 1 << 30,
    });
    assert.ok(listener.port > 0);
    const [warning] = (await warned) as [Error & { code: string }];
    assert.equal(warning.code, 'RSS_BUFFERS');
  });

  it('are warned of once per server', async () => {
    const endpoint = { host: '127.0.0.1', sendBuffer: 1 << 30 };
    await using server = createServer({
      worker: new URL('../fixtures/per-item-worker.js', import.meta.url),
      workers: 2,
      tcp: endpoint,
      udp: endpoint,
    });
    const warnings: Error[] = [];
    server.on('warning', (warning) => warnings.push(warning));
    await server.listen();
    assert.equal(warnings.filter(({ message }) => message.startsWith('send buffer ')).length, 1);
  });
});
