// Runs fixtures in network namespaces of their own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Runs a fixture in a namespace, after the command `link`. Returns the JSON that it prints. */
export function inNamespace(link: string, fixture: string): Record<string, unknown> {
  const script = fileURLToPath(new URL(`../fixtures/${fixture}.js`, import.meta.url));
  const { stdout, stderr, status } = spawnSync(
    'unshare',
    ['-n', 'sh', '-c', `${link} && exec "${process.execPath}" "${script}"`],
    { encoding: 'utf8', timeout: 120_000 },
  );
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>;
}
