// Keeps a worker's thread on a CPU of its own while the CPUs that the process may use change.
import { chosenByProgram } from '../affinity.js';
import { isFailure, systemError } from '../errors.js';
import { native } from '../native.js';
import type { FromWorker, WorkerInit } from '../server/messages.js';

const lookEveryMs = 1000;

/**
 * Pins the thread to its planned CPU. If the process loses that CPU, the kernel puts the thread on
 * all that are left: then it is pinned to one of them, and goes back when it can. A program that
 * calls affinity.set() in the thread ends this. The result plans another CPU.
 */
export function keepPinned(
  { cpu, workerIndex, placements }: Pick<WorkerInit, 'cpu' | 'workerIndex' | 'placements'>,
  post: (message: FromWorker) => void,
): (cpu: number) => void {
  let planned = cpu;
  /**
   * As the main thread knows it: at first, where the worker's last thread was. Undefined: the
   * system refuses to pin.
   */
  let current: number | undefined = placements[workerIndex]!.cpu;

  const move = (cpu: number | undefined, reason?: string) => {
    if (cpu !== current) post({ type: 'pinned', cpu, reason });
    current = cpu;
  };
  const pin = (mask: readonly number[]) => {
    const failure = native.pinWorker(planned);
    if (failure === undefined) return move(planned);
    if (current !== planned && isAlone(current, mask)) return;
    const other = mask[workerIndex % mask.length]!;
    const refused = native.pinWorker(other) !== undefined;
    move(refused ? undefined : other, systemError(failure).message);
  };
  const look = () => {
    if (current === undefined || chosenByProgram) return clearInterval(timer);
    const mask = native.threadAffinity();
    if (isFailure(mask) || (current === planned && isAlone(planned, mask))) return;
    pin(mask);
  };
  const timer = setInterval(look, lookEveryMs);
  timer.unref();
  look();
  return (next) => {
    if (next === planned || current === undefined) return;
    planned = current = next;
    look();
  };
}

function isAlone(cpu: number | undefined, mask: readonly number[]): boolean {
  return mask.length === 1 && mask[0] === cpu;
}
