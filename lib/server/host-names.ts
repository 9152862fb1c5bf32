// Host names among the addresses that a server listens on.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

import { capabilities } from '../capabilities.js';
import { RssError } from '../errors.js';
import { plainHost } from '../socket/host.js';
import type { Endpoint } from './endpoint-options.js';

const isName = ({ host }: Endpoint) => host !== undefined && isIP(host) === 0;

export const haveNames = (endpoints: readonly Endpoint[]) => endpoints.some(isName);

/** Addresses of a name that this host can bind: without IPv6, ::1 of /etc/hosts is none. */
async function addressesOf(name: string): Promise<string[]> {
  const all = await lookup(name, { all: true });
  const usable = all.filter(({ family }) => family === 4 || capabilities().ipv6.available);
  return (usable.length > 0 ? usable : all).map(({ address }) => address);
}

/** The endpoints with an endpoint for each address of a name, and each address once. */
export async function resolveNames(endpoints: readonly Endpoint[]): Promise<Endpoint[]> {
  const lists = await Promise.all(
    endpoints.map(async (endpoint) => {
      if (!isName(endpoint)) return [endpoint];
      const addresses = await addressesOf(endpoint.host!);
      return addresses.map((host) => ({ ...endpoint, host }));
    }),
  );
  const byAddress = new Map<string, Endpoint>();
  for (const endpoint of lists.flat()) {
    const { protocol, host, port, fd } = endpoint;
    const { address, zone } = plainHost(host ?? '::');
    const key = [protocol, address, zone, port, fd].join(' ');
    if (!byAddress.has(key)) byAddress.set(key, endpoint);
  }
  return [...byAddress.values()];
}

/** For a plan before listen(): localhost is loopback (RFC 6761). Other names are not known yet. */
export function withoutNames(endpoints: readonly Endpoint[]): Endpoint[] {
  return endpoints.map((endpoint) => {
    if (!isName(endpoint)) return endpoint;
    if (endpoint.host === 'localhost') return { ...endpoint, host: '127.0.0.1' };
    throw new RssError(
      'ERR_RSS_STATE',
      `plan() is not possible: only listen() resolves the host name '${endpoint.host}'`,
    );
  });
}
