// Clients that read values, and those of fixtures/value-worker.ts.
import { once } from 'node:events';
import net from 'node:net';

import { PatternReader } from './pattern.js';

/** Reads at its own speed until `enough`, then destroys the socket. */
export async function readSlowly(
  socket: net.Socket,
  read: (chunk: Buffer) => void,
  enough: () => boolean,
): Promise<void> {
  const slowness = Math.random() * 4;
  socket.on('data', (chunk) => {
    read(chunk);
    if (enough()) return void socket.destroy();
    if (slowness < 1 || Math.random() < 0.5) return undefined;
    socket.pause();
    setTimeout(() => socket.resume(), slowness);
    return undefined;
  });
  await once(socket, 'close');
}

async function readValues(
  options: net.NetConnectOpts,
  reader: PatternReader,
  enough: () => boolean,
): Promise<void> {
  const socket = net.connect(options);
  const ask = () => socket.write(Buffer.of(Math.floor(Math.random() * 256)));
  let answered = reader.values;
  for (let i = 0; i < 3; i++) ask();
  const read = (chunk: Buffer) => {
    reader.read(chunk);
    for (; answered < reader.values; answered++) ask();
  };
  await readSlowly(socket, read, enough);
}

export interface Read {
  bytes: number;
  /** The number of wrong bytes. */
  wrong: number;
}

/** Twelve readers read this many bytes. */
export async function readTogether(options: net.NetConnectOpts, wanted: number): Promise<Read> {
  const readers = Array.from({ length: 12 }, () => new PatternReader());
  const sum = (of: (reader: PatternReader) => number) =>
    readers.reduce((total, reader) => total + of(reader), 0);
  const bytes = () => sum((reader) => reader.bytes);
  await Promise.all(readers.map((reader) => readValues(options, reader, () => bytes() >= wanted)));
  return { bytes: bytes(), wrong: sum((reader) => reader.wrong) };
}
