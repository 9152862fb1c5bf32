// Loads the user's worker module and checks that it has handlers for the server's sockets.
import { spawnSync } from 'node:child_process';

import { argumentValueError } from '../errors.js';
import type { WorkerInit } from '../server/messages.js';
import { definitionOf, type WorkerDefinition } from './define.js';

type Needed = Pick<WorkerInit, 'module' | 'listeners' | 'datagramSockets'>;

export async function loadDefinition(init: Needed): Promise<WorkerDefinition> {
  const { module, listeners, datagramSockets } = init;
  const definition = definitionOf(await load(module), module);
  const { connection, stream, datagrams } = definition;
  if (listeners.length > 0 && connection === undefined && stream === undefined)
    throw argumentValueError(
      `"connection" or "stream" is missing in ${module}, and the server has "tcp" or "unix"`,
    );
  if (datagramSockets.length > 0 && datagrams === undefined)
    throw argumentValueError(`"datagrams" is missing in ${module}, and the server has "udp"`);
  return definition;
}

async function load(module: string): Promise<{ default?: unknown }> {
  try {
    return (await import(module)) as { default?: unknown };
  } catch (error) {
    if (error instanceof SyntaxError) locate(error, module);
    throw error;
  }
}

/**
 * Adds file and line to a syntax error. Node keeps those of an ES module to itself, and prints them
 * only when the error ends a process: so another process imports the module. None of its code is
 * run there, as it cannot be linked.
 */
function locate(error: SyntaxError, module: string): void {
  const stack = error.stack ?? '';
  const library = new URL('.', import.meta.url).href;
  const thrownByCode = stack
    .split('\n')
    .some((line) => line.includes('file:') && !line.includes(library));
  if (!stack.startsWith('SyntaxError') || thrownByCode) return;
  const script = `import ${JSON.stringify(module)}`;
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 5000,
  });
  const [excerpt = '', rest] = (stderr ?? '').split('\n\nSyntaxError', 2);
  if (rest === undefined) return;
  error.message += ` (${excerpt.split('\n', 1)[0]})`;
  error.stack = `${excerpt}\n\n${stack}`;
}
