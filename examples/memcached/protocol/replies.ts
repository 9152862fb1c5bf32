// Fixed responses of the text protocol (memcached's doc/protocol.txt), as bytes.
import { Memory } from '../store/memory.js';

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
export const badLine = line('CLIENT_ERROR bad command line');
export const badChunk = line('CLIENT_ERROR bad data chunk');
export const badExptime = line('CLIENT_ERROR invalid exptime argument');
export const badDelta = line('CLIENT_ERROR invalid numeric delta argument');
export const notNumeric = line('CLIENT_ERROR cannot increment or decrement non-numeric value');
export const deleteUsage = line(
  'CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]',
);
export const detailUsage = line('CLIENT_ERROR usage: stats detail on|off|dump');
export const tooLarge = line('SERVER_ERROR object too large for cache');
export const noMemory = line('SERVER_ERROR out of memory storing object');
export const noMemoryForNumber = line('SERVER_ERROR out of memory');
export const noFlush = line('CLIENT_ERROR flush_all not allowed');
export const noShutdown = line('ERROR: shutdown not enabled');
export const badShutdown = line('CLIENT_ERROR invalid shutdown mode');
export const limitTooSmall = line('MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m');
export const limitTooLarge = line('MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes');
export const limitFailed = line('MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust');
export const unauthenticated = line('CLIENT_ERROR unauthenticated');
export const badTermination = line('CLIENT_ERROR bad command line termination');
export const badToken = line('CLIENT_ERROR bad authentication token format');
export const authFailure = line('CLIENT_ERROR authentication failure');
export const illegalClass = line('CLIENT_ERROR Illegal slab id');
export const badClass = line('BADCLASS invalid class id');
export const metaNoop = line('MN');
export const metaMiss = line('EN');
export const manyWords = line('CLIENT_ERROR options flags are too long');
export const manyFlags = line('CLIENT_ERROR options flags too long');
export const badFlag = line('CLIENT_ERROR invalid or duplicate flag');
export const longOpaqueText = 'CLIENT_ERROR opaque token too long';
export const longOpaque = line(longOpaqueText);
export const noMemoryForNewNumber = line('SERVER_ERROR Out of memory allocating new item');

/** How the answers of the meta commands begin. */
const code = (text: string) => new Memory(Buffer.from(text, 'latin1'));

export const codeDone = code('HD');
export const codeValue = code('VA ');
export const codeMiss = code('EN');
export const codeNotFound = code('NF');
export const codeNotStored = code('NS');
export const codeExists = code('EX');
