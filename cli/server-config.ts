// The RSS configuration of a server: this host's, with what the command line says instead.
import type { RssConfig } from 'freebsd-rss';

import type { LearntKey } from '../lib/server/admin.js';
import { plainHost } from '../lib/socket/host.js';
import { findAdminSocket, learntKeys } from './admin-socket.js';
import { configuration, UsageError } from './command.js';

/** What a server on this host has learnt of the card behind its address. Only root is given it. */
async function learntBy(where: string, local: string): Promise<LearntKey | undefined> {
  if (process.getuid?.() !== 0) throw new UsageError('--admin: only root is given the key');
  const keys = await learntKeys(await findAdminSocket(where)).catch((error: Error) => {
    throw new UsageError(`--admin: ${error.message}`);
  });
  return keys.find((one) => one.local === plainHost(local).address);
}

/** By --key, --admin and --buckets. `local`: the address of the server. */
export async function configurationOf(
  { key, admin, buckets }: { key?: string; admin?: string; buckets?: string },
  local: string,
): Promise<RssConfig> {
  if (admin === undefined) return configuration(key, buckets);
  if (key !== undefined) throw new UsageError('--admin replaces --key');
  const learnt = await learntBy(admin, local);
  const config = configuration(learnt?.key, buckets);
  // A key that the driver tells is not learnt.
  if (!config.hashKeyReadable)
    throw new UsageError(`--admin: the server has learnt no key for ${local} so far`);
  return learnt === undefined ? config : { ...config, udpHash: learnt.udpHash };
}
