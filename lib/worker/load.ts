// Loads the user's worker module and checks that it has handlers for the server's sockets.
import { argumentValueError } from '../errors.js';
import type { WorkerInit } from '../server/messages.js';
import { definitionOf, type WorkerDefinition } from './define.js';

type Needed = Pick<WorkerInit, 'module' | 'listeners' | 'datagramSockets'>;

export async function loadDefinition(init: Needed): Promise<WorkerDefinition> {
  const { module, listeners, datagramSockets } = init;
  const definition = definitionOf((await import(module)) as { default?: unknown }, module);
  const { connection, stream, datagrams } = definition;
  if (listeners.length > 0 && connection === undefined && stream === undefined)
    throw argumentValueError(
      `"connection" or "stream" is missing in ${module}, and the server has "tcp" or "unix"`,
    );
  if (datagramSockets.length > 0 && datagrams === undefined)
    throw argumentValueError(`"datagrams" is missing in ${module}, and the server has "udp"`);
  return definition;
}
