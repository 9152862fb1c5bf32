// Tests that need something this machine may lack: they skip and name it, or, where RSS_REQUIRE
// lists it (as .ci/run does), fail.
import { spawnSync } from 'node:child_process';
import { test, type TestContext } from 'node:test';

import { capabilities, type Steering } from 'freebsd-rss';

const required = new Set((process.env['RSS_REQUIRE'] ?? '').split(',').filter(Boolean));
const { platform, ipv6, listenBucket, reusePortBpf, reusePortLb } = capabilities();

export const hasIpv6 = ipv6.available;

/** Steerings that this kernel has. */
export const steerings: Steering[] = [
  ...(listenBucket.available ? (['listen-bucket'] as const) : []),
  ...(platform === 'linux' || (reusePortLb.available && !listenBucket.available)
    ? (['reuseport-lb'] as const)
    : []),
  ...(reusePortBpf.available ? (['bpf-toeplitz', 'bpf-cpu'] as const) : []),
  'single',
];

/** A test that runs when `missing` is undefined, and otherwise skips with it as the reason. */
export function testIf(
  missing: string | undefined,
  name: string,
  body: (t: TestContext) => Promise<void> | void,
): void {
  const feature = missing?.split(' ')[0] ?? '';
  if (missing !== undefined && !required.has(feature))
    test(name, { skip: missing }, () => undefined);
  else if (missing !== undefined)
    test(name, () => {
      throw new Error(`required, but missing: ${missing}`);
    });
  else test(name, body);
}

export function missingSteering(steering: Steering): string | undefined {
  return steerings.includes(steering) ? undefined : `${steering} is not on this kernel`;
}

export function missingTool(tool: string): string | undefined {
  const found = spawnSync(tool, ['--version'], { stdio: 'ignore' }).error === undefined;
  return found ? undefined : `${tool} is not installed`;
}
