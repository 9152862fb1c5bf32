// The environment of the example's protocol, without a server.
import type { ServerStats } from 'freebsd-rss';

import { Connections, createConnections } from '../../examples/memcached/shared/connections.js';
import { type Options, parseOptions } from '../../examples/memcached/options.js';
import { createPrefixes, Prefixes } from '../../examples/memcached/shared/prefixes.js';
import type { Environment } from '../../examples/memcached/protocol/context.js';
import { State } from '../../examples/memcached/shared/state.js';
import { Counters, createCounters } from '../../examples/memcached/shared/counters.js';
import { Clock } from '../../examples/memcached/shared/clock.js';
import { lockToken } from '../../examples/memcached/store/lock.js';
import { Store, StoreMemory } from '../../examples/memcached/store/store.js';

const none = { buckets: [], workers: [], total: {} } as unknown as ServerStats;

/** The state for the command line `args`. */
export function makeEnvironment(...args: string[]): Environment {
  const options = parseOptions(args, '') as Options;
  const state = new State();
  return {
    options,
    state,
    clock: new Clock(state),
    store: new Store(StoreMemory.create(options).handle, lockToken(0, 0)),
    counters: new Counters(createCounters(1).id, 0),
    connections: new Connections(createConnections(10).id, 0, 10),
    prefixes: new Prefixes(createPrefixes().id, options.prefixDelimiter),
    credentials: undefined,
    workers: 1,
    addresses: [],
    rss: () => none,
    refreshCertificates: () => undefined,
  };
}
