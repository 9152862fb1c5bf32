// Clients of several languages, as their users install them. Those of Python are in a virtual
// environment: build/clients. .ci/run says how each is installed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

import { certificate } from '../helpers/certificate.js';
import { skipWithout } from '../helpers/features.js';
import { serveExample } from '../helpers/memcached.js';

const folder = mkdtempSync(path.join(tmpdir(), 'memcached-languages-'));
after(() => rmSync(folder, { recursive: true }));
const users = path.join(folder, 'users');
writeFileSync(users, 'me:secret\n');

const source = (file: string) => path.resolve('test/conformance/clients', file);
const python = path.resolve('build/clients/bin/python');
const jar = path.resolve('build/clients/spymemcached.jar');

/** The feature that a client needs, and its command before the port. */
const clients: [name: string, needs: string, command: string[], after?: string[]][] = [
  ['memjs', 'node', [process.execPath, source('memjs.mjs')]],
  ['npm’s memcached', 'node', [process.execPath, source('memcached.mjs')]],
  ['bmemcached', 'python-clients', [python, source('bmemcached_client.py')]],
  ['pylibmc', 'python-clients', [python, source('pylibmc_client.py')]],
  ['PHP’s sessions, binary', 'php-memcached', ['php', source('session.php')], ['1']],
  ['PHP’s sessions, text', 'php-memcached', ['php', source('session.php')], ['0']],
  ['Dalli', 'dalli', ['ruby', source('dalli.rb')]],
  ['spymemcached', 'spymemcached', ['java', '-cp', jar, source('Spy.java')]],
];

async function run([command, ...args]: string[]): Promise<void> {
  const child = spawn(command!, args);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 0, output.slice(-4000));
}

describe('the client', { concurrency: 3 }, () => {
  for (const [name, needs, command, rest = []] of clients)
    it(name, { skip: skipWithout(needs), timeout: 60_000 }, async () => {
      const server = await serveExample('-t', '2');
      await run([...command, String(server.port), ...rest]);
      assert.equal(await server.stop(), 0);
    });

  for (const [name, needs, command] of clients.filter(([name]) => /^b?mem(js|cached)$/.test(name)))
    it(`${name} with a password`, { skip: skipWithout(needs), timeout: 60_000 }, async () => {
      const server = await serveExample('-t', '2', '-Y', users);
      await run([...command, String(server.port), 'me', 'secret']);
      await assert.rejects(run([...command, String(server.port), 'me', 'wrong']));
      assert.equal(await server.stop(), 0);
    });

  const skip = skipWithout('python-clients');
  it('pymemcache passes its own tests', { skip, timeout: 120_000 }, async () => {
    const server = await serveExample('-t', '2');
    const library = path.resolve('build/clients/lib');
    const [version = ''] = readdirSync(library);
    const tests = path.join(library, version, 'site-packages/pymemcache/test/test_integration.py');
    const pytest = [python, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-k', 'not tls', tests];
    await run([...pytest, '--server', '127.0.0.1', '--port', String(server.port)]);
    assert.equal(await server.stop(), 0);
  });

  it('pymemcache over TLS', { skip, timeout: 60_000 }, async () => {
    const { certFile, keyFile } = certificate();
    const files = `ssl_chain_cert=${certFile},ssl_key=${keyFile}`;
    const server = await serveExample('-t', '2', '-Z', '-o', files);
    await run([python, source('pymemcache_tls.py'), String(server.port), certFile]);
    assert.equal(await server.stop(), 0);
  });

  it('python-memcached finds 200,000 keys', { skip, timeout: 120_000 }, async () => {
    const server = await serveExample('-t', '2', '-m', '256');
    const script = [
      'import memcache, sys',
      'client = memcache.Client(["127.0.0.1:" + sys.argv[1]], socket_timeout=60)',
      'items = {"key-%d" % i: "v" for i in range(200000)}',
      'assert client.set_multi(items) == []',
      'assert client.get_multi(list(items)) == items',
    ];
    await run([python, '-c', script.join('\n'), String(server.port)]);
    assert.equal(await server.stop(), 0);
  });
});
