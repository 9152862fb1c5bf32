// The memcached example with -Z.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import tls from 'node:tls';

import { certificate } from '../helpers/certificate.js';
import { main, RawClient, type Served, serveExample } from '../helpers/memcached.js';
import { until } from '../helpers/wait.js';

const folder = mkdtempSync(path.join(tmpdir(), 'memcached-tls-'));
after(() => rmSync(folder, { recursive: true }));
const first = certificate();
const second = certificate();
const files = ({ certFile, keyFile }: typeof first) =>
  `ssl_chain_cert=${certFile},ssl_key=${keyFile}`;

class SecureClient extends RawClient {
  constructor({ port }: Served, options: tls.ConnectionOptions = {}) {
    super(port, tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }));
  }
}

describe('memcached with -Z', () => {
  it('serves values of all sizes, and names its settings', async () => {
    const options = `${files(first)},ssl_verify_mode=1,ssl_ca_cert=${second.certFile}`;
    const server = await serveExample('-t', '2', '-Z', '-o', options, '-I', '4m');
    const client = new SecureClient(server);
    for (const length of [0, 1, 16_384, 100_000, 2_000_000]) {
      const value = 'v'.repeat(length);
      assert.equal(await client.ask(`set a 0 0 ${length}\r\n${value}\r\n`), 'STORED\r\n');
      const answer = await client.ask('get a\r\n', 'END\r\n');
      assert.ok(answer === `VALUE a 0 ${length}\r\n${value}\r\nEND\r\n`, `${length} bytes`);
    }
    // Several large values for a client that does not read yet: they wait where they are stored.
    client.socket.pause();
    client.send('get a\r\n'.repeat(8));
    const other = new SecureClient(server);
    assert.equal(await other.ask('get none\r\n'), 'END\r\n');
    client.socket.resume();
    for (let i = 0; i < 8; i++)
      assert.equal(
        (await client.until('END\r\n')).length,
        2_000_000 + 'VALUE a 0 2000000\r\n\r\nEND\r\n'.length,
      );
    const settings = await other.ask('stats settings\r\n', 'END\r\n');
    for (const [name, value] of [
      ['ssl_enabled', 'yes'],
      ['ssl_chain_cert', first.certFile],
      ['ssl_key', first.keyFile],
      ['ssl_verify_mode', '1'],
      ['ssl_ca_cert', second.certFile],
      ['ssl_min_version', 'tlsv1.2'],
    ])
      assert.ok(settings.includes(`STAT ${name} ${value}\r\n`), name);
    for (const each of [client, other]) each.close();
    assert.equal(await server.stop(), 0);
  });

  it('disconnects a client in plain text, and counts it', async () => {
    const server = await serveExample('-t', '1', '-Z', '-o', files(first));
    const plain = new RawClient(server.port);
    assert.match(await plain.ask('get a\r\n'), /<closed>$/);
    const client = new SecureClient(server);
    const stats = await client.ask('stats\r\n', 'END\r\n');
    // The test that waits for the server is another such client.
    assert.ok(Number(/ssl_handshake_errors (\d+)/.exec(stats)?.[1]) >= 1);
    assert.match(stats, /STAT curr_connections 1\r\n/);
    client.close();
    assert.equal(await server.stop(), 0);
  });

  it('refresh_certs reads the files again, if they can be used', async () => {
    const certFile = path.join(folder, 'cert.pem');
    const keyFile = path.join(folder, 'key.pem');
    const put = (from: typeof first) => {
      copyFileSync(from.certFile, certFile);
      copyFileSync(from.keyFile, keyFile);
    };
    put(first);
    const server = await serveExample(
      '-t',
      '2',
      '-Z',
      '-o',
      files({ ...first, certFile, keyFile }),
    );
    const client = new SecureClient(server);
    put(second);
    assert.equal(await client.ask('refresh_certs\r\n'), 'OK\r\n');
    await until('new connections have the new certificate', async () => {
      const fresh = new SecureClient(server);
      await fresh.ask('version\r\n');
      const { raw } = (fresh.socket as tls.TLSSocket).getPeerCertificate();
      fresh.close();
      return !raw.equals((client.socket as tls.TLSSocket).getPeerCertificate().raw);
    });
    writeFileSync(certFile, 'nothing');
    assert.match(await client.ask('refresh_certs\r\n'), /^SERVER_ERROR cannot use .*no start line/);
    const other = new SecureClient(server);
    assert.match(await other.ask('version\r\n'), /^VERSION/);
    for (const each of [client, other]) each.close();
    assert.equal(await server.stop(), 0);
  });

  it('without -Z there are no certificates to refresh', async () => {
    const server = await serveExample('-t', '1');
    const client = new RawClient(server.port);
    assert.equal(await client.ask('refresh_certs\r\n'), 'SERVER_ERROR TLS is disabled\r\n');
    assert.match(await client.ask('stats settings\r\n', 'END\r\n'), /STAT ssl_enabled no\r\n/);
    client.close();
    assert.equal(await server.stop(), 0);
  });

  const both = files(first);
  for (const [args, status, message] of [
    [['-Z'], 64, '-Z needs -o ssl_chain_cert=FILE,ssl_key=FILE'],
    [['-o', both], 64, '-o ssl_chain_cert needs -Z'],
    [['-Z', '-o', `${both},ssl_verify_mode=2`], 64, '-o ssl_verify_mode needs -o ssl_ca_cert=FILE'],
    [['-Z', '-o', `${both},ssl_verify_mode=4`], 64, '-o ssl_verify_mode must be a number'],
    [['-Z', '-o', `${both},ssl_min_version=9`], 64, '-o ssl_min_version must be a number'],
    [['-Z', '-U', '11211', '-o', both], 64, '-Z goes with neither -U nor -s'],
    [['-Z', '-o', `ssl_chain_cert=/none,ssl_key=${first.keyFile}`], 66, 'ENOENT'],
    [['-Z', '-o', files({ ...first, keyFile: second.keyFile })], 66, 'key values mismatch'],
    [['-Z', '-o', files({ ...first, keyFile: first.certFile })], 66, 'cannot use'],
  ] as [string[], number, string][])
    it(`${args.join(' ').replaceAll(/\/[^,=\s]*\//g, '')}: status ${status}`, () => {
      const run = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
      assert.equal(run.status, status, run.stderr);
      const lines = run.stderr.trim().split('\n');
      const errors = lines.filter((line) => !line.includes('info:') && !line.startsWith('Try -h'));
      assert.equal(errors.length, 1, run.stderr);
      assert.ok(errors[0]!.includes(message), run.stderr);
    });
});
