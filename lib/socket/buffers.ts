// The warning about socket buffers that the kernel did not grant.
import type { ShortBuffer } from '../native.js';

/**
 * The value of kern.ipc.maxsockbuf that allows buffers of this size. FreeBSD counts the memory of
 * mbufs as well: 2,304 bytes for 2,048 bytes of payload.
 */
export function maxsockbufFor(bytes: number): number {
  return Math.ceil((bytes * 9) / 8);
}

/** Undefined when every buffer was granted. */
export function bufferWarning(
  short: readonly ShortBuffer[],
  platform: NodeJS.Platform = process.platform,
): string | undefined {
  if (short.length === 0) return undefined;
  const missing = short
    .map(({ buffer, wanted, granted }) => `${buffer} buffer ${granted} bytes instead of ${wanted}`)
    .join(', ');
  const settings =
    platform === 'freebsd'
      ? [`kern.ipc.maxsockbuf=${maxsockbufFor(Math.max(...short.map(({ wanted }) => wanted)))}`]
      : short.map(
          ({ buffer, wanted }) => `net.core.${buffer === 'send' ? 'w' : 'r'}mem_max=${wanted}`,
        );
  return `${missing}; allow it by: sysctl ${settings.join(' ')}`;
}
