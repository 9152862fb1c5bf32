// Sockets that a service manager has opened for this process: socket activation.
import { predecessor } from './predecessor.js';

/** The first descriptor that is passed: SD_LISTEN_FDS_START. */
const first = 3;

/**
 * The descriptors that a service manager such as systemd(1) has passed to this process, as
 * sd_listen_fds(3) finds them: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. With a name, those of
 * that name. Empty in a process that has not been started so. For the `fd` options of
 * createServer().
 *
 * In a process that RssServer.upgrade() has started, the numbers stand for the predecessor's
 * sockets.
 */
export function activatedSockets(name?: string): number[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = process.env;
  if (Number(LISTEN_PID) !== process.pid && predecessor() === undefined) return [];
  const count = /^\d+$/.test(LISTEN_FDS ?? '') ? Number(LISTEN_FDS) : 0;
  const names = (LISTEN_FDNAMES ?? '').split(':');
  return Array.from({ length: count }, (_, i) => first + i).filter(
    (fd) => name === undefined || names[fd - first] === name,
  );
}
