// Pins threads of its own from JavaScript.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

import { affinity } from 'freebsd-rss';

const source = `
import { parentPort, workerData } from 'node:worker_threads';
const { affinity } = await import(workerData.library);
affinity.set(workerData.cpus);
let wrong = 0;
for (let i = 0; i < 2000; i++) if (!affinity.get().includes(affinity.currentCpu())) wrong++;
parentPort.postMessage({ cpus: affinity.get(), wrong });
`;

for (const cpu of affinity.process()) {
  test(`a thread pinned to CPU ${cpu} stays there, and the others stay free`, async () => {
    const before = affinity.get();
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
      workerData: { cpus: [cpu], library: import.meta.resolve('freebsd-rss') },
    });
    const result = await new Promise((resolve, reject) => {
      worker.on('message', resolve);
      worker.on('error', reject);
    });
    assert.deepEqual(result, { cpus: [cpu], wrong: 0 });
    assert.deepEqual(affinity.get(), before);
  });
}
