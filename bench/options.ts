// Options that the bench and its proof share, and their defaults.
import { affinity } from 'freebsd-rss';

import { fail, positive } from './command-line.js';
import type { Options } from './measure.js';
import { type Work, works } from './works.js';

export const optionTable = {
  only: { type: 'string', multiple: true },
  within: { type: 'string', default: '2%' },
  limit: { type: 'string', default: '180' },
  slice: { type: 'string', default: '0.1' },
  seed: { type: 'string' },
} as const;

export interface Values {
  only?: string[];
  within: string;
  limit: string;
  slice: string;
  seed?: string;
}

function share(name: string, text: string): number {
  const percent = /^(\d+(\.\d+)?) ?%$/.exec(text)?.[1];
  if (percent === undefined) fail(`--${name} must be a percentage as 2%, not "${text}"`);
  return positive(name, percent) / 100;
}

/** The named works and those of the named groups; by default all that are in no group. */
export function chosen(only: string[] | undefined): Work[] {
  const names = [...new Set(works.flatMap(({ name, group }) => [name, group ?? name]))];
  for (const name of only ?? [])
    if (!names.includes(name)) fail(`no work "${name}"; there are ${names.join(', ')}`);
  return works.filter(({ name, group }) =>
    only === undefined ? group === undefined : only.includes(name) || only.includes(group ?? name),
  );
}

export function parse(values: Values): Options {
  const cpus = affinity.process();
  if (cpus.length < 2) fail('two CPUs are needed');
  return {
    cpus,
    within: share('within', values.within),
    limit: positive('limit', values.limit),
    slice: positive('slice', values.slice),
    seed: Math.floor(values.seed === undefined ? Date.now() % 1e6 : positive('seed', values.seed)),
  };
}
