// A key and a certificate of its own, by openssl(1).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';

/** Names of the files, which exist until the tests have ended, and their texts. */
export function certificate() {
  const folder = mkdtempSync(path.join(tmpdir(), 'rss-certificate-'));
  after(() => rmSync(folder, { recursive: true }));
  const keyFile = path.join(folder, 'key.pem');
  const certFile = path.join(folder, 'cert.pem');
  const request = 'req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=rss';
  execFileSync('openssl', [...request.split(' '), '-keyout', keyFile, '-out', certFile], {
    stdio: 'ignore',
  });
  const key = readFileSync(keyFile, 'utf8');
  return { keyFile, certFile, key, cert: readFileSync(certFile, 'utf8') };
}
