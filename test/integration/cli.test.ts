// The command freebsd-rss as a process: its options, statuses and output.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { rssConfig } from 'freebsd-rss';

import { exitStatus } from '../../cli/checks.js';

function command(...args: string[]) {
  return spawnSync(process.execPath, ['dist/cli/main.js', ...args], { encoding: 'utf8' });
}

/** The command on another host, which a fixture pretends. */
function commandOn(host: string, ...args: string[]) {
  const imported = new URL(`../fixtures/${host}.js`, import.meta.url).href;
  const line = ['--import', imported, 'dist/cli/main.js', ...args];
  return spawnSync(process.execPath, line, { encoding: 'utf8' });
}

describe('freebsd-rss', () => {
  for (const args of [
    ['--help'],
    ...['info', 'doctor', 'hash', 'flows', 'load', 'top', 'conns', 'watch'].map((c) => [
      c,
      '--help',
    ]),
    ...['learn', 'record', 'replay'].map((c) => [c, '--help']),
  ])
    it(`${args.join(' ')} fits a screen`, () => {
      const { status, stdout } = command(...args);
      assert.equal(status, 0);
      const lines = stdout.split('\n');
      assert.ok(lines.length <= 24 && lines.every((line) => line.length < 80));
      if (args.length > 1) assert.match(stdout, /^Example:\n {2}freebsd-rss /m);
    });

  const wrong: [string[], RegExp][] = [
    [['inform'], /no command "inform"; there are info, doctor, hash, flows, load, top/],
    [['constructor'], /no command "constructor"/],
    [['info', '--jsn'], /--jsn/],
    [['learn', '10.0.0.1'], /one address and port/],
    [['load', '--sources', '/none', 'udp://127.0.0.1:9'], /ENOENT.*\/none/],
    [['load', '--sources', 'package.json', 'udp://127.0.0.1:9'], /is no IP address/],
    [
      ['hash', '10.0.0.1'],
      /a source and a destination: freebsd-rss hash .*\nTry freebsd-rss hash --h/,
    ],
    [['load'], /takes the URL of a server, .*: freebsd-rss load udp:/],
    [['top'], /takes the path of an admin socket or the id of a process/],
    [['top', '99999999'], /there is no process 99999999/],
    [['info', '--listen', `${'a'.repeat(64)}.invalid`], /--listen: getaddrinfo/],
    [['hash', '10.0.0.1', '10.0.0.300'], /"10.0.0.300" is no IP address/],
    [['hash', '--key', 'abc', '10.0.0.1', '10.0.0.2'], /40 bytes/],
    [['hash', '--buckets', '3', '10.0.0.1', '10.0.0.2'], /power of two/],
    [['flows', '--server', '10.0.0.1:80'], /--server and --from/],
    [['flows', '--server', '10.0.0.1:80', '--from', '2001:db8::/64'], /two families/],
    [
      ['flows', '--server', '10.0.0.1', '--from', '10.1.0.0/30', '--buckets', '8'],
      /too few addresses/,
    ],
  ];
  for (const [args, message] of wrong)
    it(`${args.join(' ')} is refused with 64`, () => {
      const { status, stderr, stdout } = command(...args);
      assert.equal(status, 64, stderr);
      assert.match(stderr, message);
      assert.equal(stdout, '');
    });

  it('--version prints the version of the package', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    for (const option of ['--version', '-V'])
      assert.equal(command(option).stdout, `freebsd-rss ${version}\n`);
  });

  it('info, hash, flows and doctor print JSON that says the same', () => {
    const { configuration: found, steering } = JSON.parse(command('info', '--json').stdout);
    assert.equal(found.buckets, rssConfig().buckets);
    assert.equal(found.key, undefined);
    assert.equal(typeof steering, 'string');
    const withKey = JSON.parse(command('info', '--json', '--show-key').stdout);
    assert.equal(withKey.configuration.key, Buffer.from(rssConfig().hashKey).toString('hex'));
    const doctor = command('doctor', '--json');
    assert.equal(doctor.status, exitStatus(JSON.parse(doctor.stdout)));
    const text = command('info').stdout;
    assert.ok(text.includes(steering) && text.split('\n').every((line) => line.length < 80));
  });

  it('flows and learn do without the list of interfaces', () => {
    const flows = ['flows', '--server', '10.0.0.2:80', '--from', '10.1.0.0/16'];
    const { status, stderr } = commandOn('no-interfaces', ...flows);
    assert.deepEqual([status, stderr], [0, '']);
    if (process.platform !== 'linux') return;
    const learn = commandOn('no-interfaces', 'learn', '127.0.0.1:9');
    assert.equal(learn.stderr, 'unknown: its driver tells no hash key\n');
  });

  it('info says that a quota leaves fewer workers', () => {
    const { stdout } = commandOn('half-cpu', 'info');
    assert.match(stdout, /^CPU quota +the time of 0.5 CPUs/m);
    assert.equal(stdout.match(/^worker \d/gm)?.length, 1);
  });

  it('flows end quietly when the reader closes the pipe', () => {
    const command = 'flows --server 10.0.0.2:80 --from 10.1.0.0/16 --per-bucket 5000';
    const script = `"${process.execPath}" dist/cli/main.js ${command} | head -1`;
    const { stdout, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
    assert.match(stdout, /^bucket +CPU +source\n$/);
    assert.equal(stderr, '');
  });

  it('flows take no more than was asked for', () => {
    const server = ['--server', '10.0.0.2:80'];
    for (const args of [
      [...server, '--from', '10.1.0.0/8/9'],
      [...server, '--from', '10.1.0.0/8', '--ports', '1-2-3'],
      ['--server', 'fe80::1%lo', '--from', 'fe80::/64'],
    ])
      assert.equal(command('flows', ...args).status, 64, args.join(' '));
  });
});
