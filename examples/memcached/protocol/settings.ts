// `stats settings`: the options, with what commands have changed.
import { Field } from '../shared/state.js';
import { growth } from '../store/layout.js';
import { tlsVersions } from '../tls.js';
import type { Environment } from './context.js';
import type { Line } from './statistics.js';

const yesNo = (value: boolean) => (value ? 'yes' : 'no');

export function* settings(environment: Environment): Generator<Line> {
  const { options, state, addresses, workers, store } = environment;
  const { fields } = state;
  const { geometry } = store;
  const port = (protocol: string) =>
    addresses.find((address) => address.protocol === protocol)?.port ?? 0;
  yield ['maxbytes', fields[Field.MemoryLimit]!];
  yield ['maxconns', options.connections];
  yield ['tcpport', port('tcp')];
  yield ['udpport', port('udp')];
  yield ['inter', options.unixSocket === undefined ? options.addresses.join(',') : 'NULL'];
  yield ['verbosity', fields[Field.Verbosity]!];
  yield ['oldest', fields[Field.Flushed]!];
  yield ['evictions', options.evict ? 'on' : 'off'];
  yield ['domain_socket', options.unixSocket ?? 'NULL'];
  yield ['umask', options.unixMode.toString(8)];
  yield ['shutdown_command', yesNo(options.shutdownCommand)];
  yield ['growth_factor', String(growth)];
  yield ['chunk_size', geometry.classes[0] ?? 0];
  yield ['num_threads', workers];
  yield ['stat_key_prefix', options.prefixDelimiter];
  yield ['detail_enabled', yesNo(fields[Field.Detail] !== 0)];
  yield ['reqs_per_event', options.requestsPerTurn];
  yield ['cas_enabled', 'yes'];
  yield ['tcp_backlog', options.backlog];
  yield ['binding_protocol', options.protocol === 'auto' ? 'auto-negotiate' : options.protocol];
  yield ['auth_enabled_sasl', yesNo(options.sasl)];
  yield ['auth_enabled_ascii', options.credentials ?? 'no'];
  yield ['item_size_max', options.itemSize];
  yield ['maxconns_fast', yesNo(options.refuseConnections)];
  yield ['slab_reassign', 'yes'];
  yield ['slab_page_size', geometry.pageSize];
  yield ['shards', store.shards.length];
  yield ['flush_enabled', yesNo(options.flushCommand)];
  yield ['dump_enabled', 'yes'];
  yield ['hash_algorithm', 'multiply-xorshift-seeded'];
  yield ['lru_crawler', 'yes'];
  yield ['idle_timeout', options.idleTimeout];
  yield ['track_sizes', yesNo(options.trackSizes)];
  yield ['ssl_enabled', yesNo(options.tls !== undefined)];
  if (options.tls === undefined) return;
  const { chainCert, key, caCert, verifyMode, minVersion } = options.tls;
  yield ['ssl_chain_cert', chainCert];
  yield ['ssl_key', key];
  yield ['ssl_verify_mode', verifyMode];
  yield ['ssl_ca_cert', caCert ?? 'NULL'];
  yield ['ssl_min_version', tlsVersions[minVersion]!.toLowerCase()];
}
