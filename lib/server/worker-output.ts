// What workers write to stdout and stderr. Node pipes it to the process's own.
import type { Worker } from 'node:worker_threads';

const workers = new Set<Worker>();
let watching = false;

const names = ['stdout', 'stderr'] as const;

/** Drops the output of workers once it cannot be written, which would end the process. */
export function surviveClosedOutput(worker: Worker): void {
  workers.add(worker);
  worker.once('exit', () => workers.delete(worker));
  for (const name of names) if (process[name].errored instanceof Error) drop(worker, name);
  if (watching) return;
  watching = true;
  for (const name of names)
    process[name].on('error', () => {
      for (const one of workers) drop(one, name);
    });
}

/** A pipe that is not read would fill the memory. */
function drop(worker: Worker, name: 'stdout' | 'stderr'): void {
  worker[name].unpipe();
  worker[name].resume();
}
