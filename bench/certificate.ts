// The key and the certificate of servers with TLS, made once.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';

import { binaries } from './native.js';

export const keyFile = path.join(binaries, 'key.pem');
export const certFile = path.join(binaries, 'cert.pem');

/** Makes the files unless they exist. */
export function makeCertificate(): void {
  if (existsSync(certFile)) return;
  mkdirSync(binaries, { recursive: true });
  const request =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=bench';
  const files = ['-keyout', keyFile, '-out', certFile];
  execFileSync('openssl', [...request.split(' '), ...files], { stdio: 'ignore' });
}
