// The program's own numbers, in the snapshots of the admin socket.
import { argumentTypeError, argumentValueError } from '../errors.js';
import { checkFinite, checkOneOf, checkOptions } from '../validate.js';

/** A number of the program, for metrics and for the page of `freebsd-rss top --http`. */
export interface Metric {
  /** As Prometheus names it, 'shop_orders_total'. Names that begin with freebsd_rss_ are taken. */
  name: string;
  /** What it counts, in a line. */
  help: string;
  /** A counter never decreases while the program runs. */
  type: 'counter' | 'gauge';
  value: number;
}

const members: readonly (keyof Metric)[] = ['name', 'help', 'type', 'value'];

/** Throws TypeError and RangeError that name the metric. */
export function checkMetrics(metrics: unknown): Metric[] {
  if (!Array.isArray(metrics)) throw argumentTypeError('metrics()', 'an array', metrics);
  const names = new Set<string>();
  for (const metric of metrics as Metric[]) {
    checkOptions('metrics()', metric, members);
    const { name, help, type, value } = metric;
    if (typeof name !== 'string' || !/^(?!freebsd_rss_)[a-z_]\w*$/i.test(name))
      throw argumentTypeError('name of a metric', 'a name of letters, digits and _', name);
    if (names.has(name)) throw argumentValueError(`there are two metrics "${name}"`);
    names.add(name);
    if (typeof help !== 'string' || /[\\\n]/.test(help))
      throw argumentTypeError(`help of ${name}`, 'a line of text', help);
    checkOneOf(`type of ${name}`, type, ['counter', 'gauge']);
    checkFinite(`value of ${name}`, value);
  }
  return metrics as Metric[];
}
