// Reads from a socket as much as a test wants, and leaves the rest.
import type net from 'node:net';

/** The next `length` bytes, or what comes before the end. */
export async function read(socket: net.Socket, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let left = length; left > 0;) {
    const chunk = socket.read(Math.min(left, Math.max(1, socket.readableLength))) as Buffer | null;
    if (chunk !== null) {
      chunks.push(chunk);
      left -= chunk.length;
    } else if (socket.readableEnded || socket.destroyed) break;
    else await change(socket);
  }
  return Buffer.concat(chunks);
}

/** Waits for input, or the end. */
function change(socket: net.Socket): Promise<void> {
  const events = ['readable', 'end', 'close'];
  return new Promise((resolve) => {
    const happened = () => {
      for (const event of events) socket.off(event, happened);
      resolve();
    };
    for (const event of events) socket.on(event, happened);
  });
}

export const text = async (socket: net.Socket, length: number) =>
  (await read(socket, length)).toString('latin1');
