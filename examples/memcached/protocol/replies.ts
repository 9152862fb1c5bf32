// Fixed responses of the protocol (memcached's doc/protocol.txt), as bytes.

import { Memory } from '../memory.js';

const line = (text: string) => new Memory(Buffer.from(`${text}\r\n`, 'latin1'));

export const stored = line('STORED');
export const notStored = line('NOT_STORED');
export const exists = line('EXISTS');
export const notFound = line('NOT_FOUND');
export const deleted = line('DELETED');
export const touched = line('TOUCHED');
export const end = line('END');
export const ok = line('OK');
export const reset = line('RESET');
export const error = line('ERROR');
export const badFormat = line('CLIENT_ERROR bad command line format');
export const badChunk = line('CLIENT_ERROR bad data chunk');
export const badExptime = line('CLIENT_ERROR invalid exptime argument');
export const badDelta = line('CLIENT_ERROR invalid numeric delta argument');
export const notNumeric = line('CLIENT_ERROR cannot increment or decrement non-numeric value');
export const deleteUsage = line(
  'CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]',
);
export const tooLarge = line('SERVER_ERROR object too large for cache');
export const noMemory = line('SERVER_ERROR out of memory storing object');
export const shutdownDisabled = line('ERROR: shutdown not enabled');
