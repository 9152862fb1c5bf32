// The files by which other programs find the server: its process id, its ports.
import {
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';

import type { RssServer } from 'freebsd-rss';

/**
 * Writes this process's id. The file is never empty, because other programs may read it at any
 * time.
 */
export function writePid(file: string): void {
  const text = `${process.pid}\n`;
  const fd = openSync(file, constants.O_WRONLY | constants.O_CREAT, 0o644);
  writeSync(fd, text, 0);
  ftruncateSync(fd, text.length);
  closeSync(fd);
}

/** Removes the file with the process id, if this user may. */
export function removePid(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // The directory belongs to another user.
  }
}

/**
 * Writes the ports in memcached's format, for test programs that start the server with any port.
 */
export function writePorts(file: string, server: RssServer): void {
  const lines = server.addresses.map(
    ({ protocol, family, port }) =>
      `${protocol.toUpperCase()} ${family === 6 ? 'INET6' : 'INET'}: ${port}\n`,
  );
  writeFileSync(`${file}.lck`, lines.join(''));
  renameSync(`${file}.lck`, file);
}
