// The `tls` option of createServer()'s `tcp`.
import { randomBytes } from 'node:crypto';

import { argumentTypeError, argumentValueError, unwrap } from '../errors.js';
import { native, type NativeTls } from '../native.js';
import { type Checked, custom, integer, oneOf, type OptionTable } from '../option-table.js';

/** Key and certificates of a server whose TCP connections have TLS. */
export interface TlsOptions {
  /** The private key, without a password: PEM. */
  key: string | Uint8Array;
  /** The server's certificate, followed by those of its issuers except for the root: PEM. */
  cert: string | Uint8Array;
  /** The certificates that sign those of clients, for `clientCertificate`: PEM. */
  ca?: string | Uint8Array;
  /**
   * Whether clients are asked for a certificate of `ca`. 'optional': a client without one is
   * served, a client with another one is not.
   * @defaultValue 'never'
   */
  clientCertificate?: 'never' | 'optional' | 'required';
  /**
   * The oldest version that clients may speak. OpenSSL's security level can forbid the first two.
   * @defaultValue 'TLSv1.2'
   */
  minVersion?: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';
  /**
   * A connection whose handshake takes longer is closed.
   * @defaultValue 10000
   */
  handshakeTimeout?: number;
}

/** In the order of ClientCertificate in native/engine/tls.h. */
const clientCertificates = ['never', 'optional', 'required'] as const;

const versions = { TLSv1: 0x301, 'TLSv1.1': 0x302, 'TLSv1.2': 0x303, 'TLSv1.3': 0x304 };

function checkPem(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  throw argumentTypeError(name, 'a string or a Uint8Array', value);
}

const pem = custom<string | Uint8Array, string>('PEM text');

export const tlsTable = {
  key: pem({ required: true }, checkPem),
  cert: pem({ required: true }, checkPem),
  ca: pem({}, checkPem),
  clientCertificate: oneOf(clientCertificates, { default: 'never' }),
  minVersion: oneOf(Object.keys(versions) as (keyof typeof versions)[], { default: 'TLSv1.2' }),
  handshakeTimeout: integer({ min: 1, max: 2 ** 31 - 1, default: 10_000, unit: 'milliseconds' }),
} satisfies OptionTable<TlsOptions>;

/** With these the session tickets of one worker are good for all. */
const ticketKeysSize = 80;

/**
 * What workers get. Throws EINVAL for keys and certificates that OpenSSL does not take, and ENOTSUP
 * for a Node without OpenSSL.
 */
export function nativeTls(options: Checked<typeof tlsTable>, ticketKeys?: Uint8Array): NativeTls {
  const { ca, clientCertificate, minVersion, ...rest } = options;
  if (clientCertificate !== 'never' && ca === undefined)
    throw argumentValueError(`"clientCertificate" '${clientCertificate}' needs "ca"`);
  const tls: NativeTls = {
    ...rest,
    ca: ca ?? '',
    clientCertificate: clientCertificates.indexOf(clientCertificate),
    minVersion: versions[minVersion],
    ticketKeys: ticketKeys ?? randomBytes(ticketKeysSize),
  };
  unwrap(native.checkTls(tls));
  return tls;
}
