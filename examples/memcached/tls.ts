// TLS: the options of -Z, and the files that they name.
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';

import type { TlsOptions } from 'freebsd-rss';

/** By their index, as -o ssl_min_version has them. */
export const tlsVersions = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;

/** By their index, as -o ssl_verify_mode has them: none, request, require, once. */
const verifyModes = ['never', 'optional', 'required', 'required'] as const;
export const mostVerifyMode = verifyModes.length - 1;

/** What -o says about TLS. */
export interface TlsSettings {
  chainCert: string;
  key: string;
  caCert: string | undefined;
  verifyMode: number;
  minVersion: number;
}

/** Reads the files. Throws if one cannot be read or used. */
export function readTls({ chainCert, key, caCert, ...modes }: TlsSettings): TlsOptions {
  const minVersion = tlsVersions[modes.minVersion]!;
  const files = {
    cert: readFileSync(chainCert),
    key: readFileSync(key),
    ...(caCert === undefined ? {} : { ca: readFileSync(caCert) }),
  };
  try {
    createSecureContext({ ...files, minVersion });
  } catch (error) {
    const names = [chainCert, key, caCert].filter((name) => name !== undefined);
    throw new Error(`cannot use ${names.join(', ')}: ${(error as Error).message}`);
  }
  return { ...files, minVersion, clientCertificate: verifyModes[modes.verifyMode]! };
}
