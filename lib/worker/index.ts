// Public surface of 'freebsd-rss/worker': what a worker module imports.
export { serveHttp } from '../http.js';
export type { DatagramAddress, DatagramBatch, DatagramReplies } from './datagrams.js';
export type { Flow } from '../rss/hash.js';
export { defineWorker, type WorkerContext, type WorkerDefinition } from './define.js';
