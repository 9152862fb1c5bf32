// Impossible rows of batches: each kind is counted, and thrown by checked workers. What would send
// bytes that are not the caller's is not sent.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { createServer, type RefusalName, type RssServer } from 'freebsd-rss';

import { datagram, portOf, request } from '../helpers/net.js';
import { eventually, StreamClient } from '../helpers/streams.js';
import { firstOutput, limitMs, soon } from '../helpers/wait.js';

const host = '127.0.0.1';
const worker = new URL('../fixtures/mistakes-worker.js', import.meta.url);

/** A mistake, how it is counted, and how the error begins. */
type Case = [mistake: string, kind: RefusalName, error: RegExp];

const streams: Case[] = [
  ['send to an unknown connection', 'unknownConnection', /^"connection" .* got 12345$/],
  ['send to a row', 'unknownConnection', /^"connection" .* got 0$/],
  ['end a row', 'unknownConnection', /^"connection" .* got 0$/],
  ['echo to NaN', 'unknownConnection', /^"connection" .* got NaN$/],
  ['send to an ended connection', 'endedConnection', /^"connection" .* got \d+$/],
  ['refer to an unknown buffer', 'unknownSource', /^"buffer" .* got 99$/],
  ['refer beyond', 'outOfRange', /^"offset" .* got 99990$/],
  ['echo beyond', 'outOfRange', /^"offset" must be 1000000000 bytes or more .* got 0$/],
  ['echo from NaN', 'outOfRange', /^"offset" .* got NaN$/],
  ['echo from half a byte', 'outOfRange', /^"offset" .* got 0.5$/],
  ['echo less than nothing', 'outOfRange', /^"length" .* got -1$/],
  ['consume too much', 'overconsumed', /^"bytes" .* got 1000000$/],
  ['consume less than nothing', 'overconsumed', /^"bytes" .* got -1$/],
  ['need NaN', 'overconsumed', /^"needed" .* got NaN$/],
  ['consume row 99', 'notInBatch', /^"i" must be a row of the batch \(0 to 0\), got 99$/],
  ['consume half a row', 'notInBatch', /^"i" .* got 0.5$/],
  ['read row 99', 'notInBatch', /^"i" .* got 99$/],
  ['read row -1', 'notInBatch', /^"i" .* got -1$/],
  ['read half a row', 'notInBatch', /^"i" .* got 0.5$/],
  ['read a row too late', 'notInBatch', /^"i" .* \(its callback has returned\), got 0$/],
  ['read a mark too late', 'notInBatch', /^"i" .* \(its callback has returned\), got 0$/],
  ['commit without reserve', 'unreserved', /^"offset" .* reserve\(\), got 0$/],
  ['commit NaN', 'unreserved', /^"offset" .* got NaN$/],
  ['commit too much', 'unreserved', /^"offset" .* got \d+$/],
];

/** These are thrown in any case. */
const thrown: Case[] = [
  ['refer to half a byte', 'outOfRange', /^"offset" .* got 0.5$/],
  ['mark an unknown event', 'badMark', /^"when" .* got 'sent'$/],
  ['mark with half a token', 'badMark', /^"token" .* got 0.5$/],
];

const datagrams: Case[] = [
  ['answer row 99', 'notInBatch', /^"i" .* got 99$/],
  ['answer half a row', 'notInBatch', /^"i" .* got 0.5$/],
  ['read row 99', 'notInBatch', /^"i" .* got 99$/],
  ['read row -1', 'notInBatch', /^"i" .* got -1$/],
  ['read half a row', 'notInBatch', /^"i" .* got 0.5$/],
  ['read a row too late', 'notInBatch', /^"i" .* \(its callback has returned\), got 0$/],
  ['echo beyond', 'outOfRange', /^"offset" .* got 0$/],
  ['echo from NaN', 'outOfRange', /^"offset" .* got NaN$/],
  ['commit without reserve', 'unreserved', /^"offset" .* got 0$/],
  ['send by an unknown socket', 'unknownConnection', /^"socket" .* got 12345$/],
  ['send by an ended socket', 'endedConnection', /^"socket" .* got \d+$/],
];

for (const checked of [false, true])
  describe(checked ? 'a checked worker' : 'an unchecked worker', () => {
    let server: RssServer;
    before(async () => {
      const options = { worker, workers: 1, tcp: { host }, udp: { host } };
      server = await createServer({ ...options, stream: { checked } }).listen();
      const client = await StreamClient.to(server);
      client.socket.destroy();
      assert.ok(await eventually(() => server.stats().total.closed === 1));
    });
    after(() => server.close({ timeout: 0 }));

    const counts = (kind: RefusalName) => server.stats().refusedRows[kind];

    /** The answer to a mistake, which must be counted once. */
    async function make(kind: RefusalName, ask: () => Promise<{ text: string }>): Promise<string> {
      const before = server.stats().refusedRows;
      const { text } = await ask();
      // What a turn has sent is counted before the client has it.
      assert.deepEqual(server.stats().refusedRows, { ...before, [kind]: before[kind] + 1 });
      assert.equal(server.stats().workers[0]?.refusedRows[kind], counts(kind));
      return text.trim();
    }

    for (const [mistake, kind, error] of streams)
      it(`streams: ${mistake}: ${kind}`, async () => {
        const text = await make(kind, () => request({ host, port: portOf(server) }, mistake));
        assert.match(text, checked ? error : /^no error$/);
      });
    for (const [mistake, kind, error] of thrown)
      it(`streams: ${mistake}: ${kind}, always thrown`, async () => {
        const text = await make(kind, () => request({ host, port: portOf(server) }, mistake));
        assert.match(text, error);
      });
    for (const [mistake, kind, error] of datagrams)
      it(`datagrams: ${mistake}: ${kind}`, async () => {
        const { port } = server.addresses[1]!;
        const to = { host, port, localAddress: host };
        const text = await make(kind, () => datagram(to, mistake));
        assert.match(text, checked ? error : /^no error$/);
      });

    it('bytes that were reserved once go to any number of connections', async () => {
      const before = server.stats().refusedRows;
      const client = await StreamClient.to(server);
      const text = await client.ask(Buffer.from('many commits\n'), 6000);
      assert.equal(text.toString(), 'ab'.repeat(3000));
      client.close();
      assert.deepEqual(server.stats().refusedRows, before);
    });
  });

for (const [value, expected] of [
  ['1', /^"i" must be a row of the batch/],
  ['', /^no error$/],
] as const)
  it(`FREEBSD_RSS_CHECKED=${value} in the environment decides`, async () => {
    const main = fileURLToPath(new URL('../fixtures/plain-server.js', import.meta.url));
    const env = { ...process.env, FREEBSD_RSS_CHECKED: value };
    const child = spawn(process.execPath, [main, 'mistakes-worker'], { env, timeout: limitMs });
    const exited = once(child, 'exit', soon());
    const port = Number(await firstOutput(child));
    const { text } = await request({ host, port }, 'read row 99');
    assert.match(text.trim(), expected);
    child.stdin.end();
    await exited;
  });
