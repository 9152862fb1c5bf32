// Runs fixtures in namespaces of their own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Runs a fixture in a namespace, of networks by default, after the command `prepare`. Returns the
 * JSON that it prints.
 */
export function inNamespace(
  prepare: string,
  fixture: string,
  namespace: 'net' | 'mount' = 'net',
): Record<string, unknown> {
  const script = fileURLToPath(new URL(`../fixtures/${fixture}.js`, import.meta.url));
  const { stdout, stderr, status } = spawnSync(
    'unshare',
    [`--${namespace}`, 'sh', '-c', `${prepare} && exec "${process.execPath}" "${script}"`],
    { encoding: 'utf8', timeout: 120_000 },
  );
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>;
}
