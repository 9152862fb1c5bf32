// Options are declared in tables, next to the interface that documents them. A table says what an
// option accepts, its default and where it works; checks and docs/options.md come from it.
//
//   export const table = { backlog: integer({ min: 1, max: 65_535, default: 4096 }) }
//     satisfies OptionTable<ListenerOptions>;
import { argumentTypeError, rangeError } from './errors.js';
import { checkBoolean, checkHost, checkInteger, checkOneOf, checkOptions } from './validate.js';

/** What docs/options.md says about an option besides its doc comment. */
export interface OptionFacts {
  type: string;
  range?: string;
  /** As it is written in code. */
  default?: string;
  /** The default in words, where it is not a constant. */
  otherwise?: string;
  required?: boolean;
  unit?: string;
  system?: string;
  /** The options of an object. */
  table?: Table;
}

/** An option that is given as `Given`. Checking it results in `Value`. */
export interface Option<Given, Value> {
  readonly facts: OptionFacts;
  /** Gives undefined its default. Throws TypeError and RangeError that name the option. */
  check(name: string, value: unknown): Value;
  /** For the compiler only: an option accepts exactly what its interface declares. */
  readonly given?: (value: Given) => Given;
}

type Table = Readonly<
  Record<string, { facts: OptionFacts; check: Option<never, unknown>['check'] }>
>;

/** One option for each property of an options interface. */
export type OptionTable<Options> = {
  readonly [K in keyof Options]-?: Option<Exclude<Options[K], undefined>, unknown>;
};

/** Values of the options of a table, with their defaults. */
export type Checked<T> = {
  [K in keyof T]: T[K] extends { check(name: string, value: unknown): infer Value } ? Value : never;
};

/** Checks an options object. `where`: see checkOptions(). */
export function checkTable<T extends Table>(where: string, table: T, options: object): Checked<T> {
  checkOptions(where, options as Record<string, unknown>, Object.keys(table));
  const given = options as Readonly<Record<string, unknown>>;
  const checked: Record<string, unknown> = {};
  for (const name of Object.keys(table)) checked[name] = table[name]!.check(name, given[name]);
  return checked as Checked<T>;
}

/** What all kinds of options may say. */
interface Common<T> {
  default?: T;
  /** The default in words, where it is not a constant. */
  otherwise?: string;
  required?: true;
  unit?: 'bytes' | 'milliseconds' | 'pages';
  system?: string;
}

type Result<S, T> = S extends { default: T } | { required: true } ? T : T | undefined;

function option<Given, T, const S extends Common<T>>(
  spec: S,
  about: { type: string; range?: string; table?: Table },
  check: (name: string, value: unknown) => T,
): Option<Given, Result<S, T>> {
  const { default: value, otherwise, required, unit, system } = spec;
  return {
    facts: {
      ...about,
      ...(otherwise === undefined ? {} : { otherwise }),
      ...(value === undefined || otherwise !== undefined ? {} : { default: literal(value) }),
      ...(required === undefined ? {} : { required }),
      ...(unit === undefined ? {} : { unit }),
      ...(system === undefined ? {} : { system }),
    },
    check: (name, given) =>
      (given === undefined && required !== true ? value : check(name, given)) as Result<S, T>,
  };
}

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value);
}

interface Range {
  min: number;
  max: number;
}

/** `zero`: 0 is allowed besides the range. `octal`: how it is written, as permissions are. */
export function integer<const S extends Common<number> & Range & { zero?: true; octal?: true }>(
  spec: S,
): Option<number, Result<S, number>> {
  const { min, max, zero, octal } = spec;
  const last = octal === true ? `0o${max.toString(8)}` : max;
  const range = `${zero === true ? '0, or ' : ''}${min} to ${last}`;
  return option(spec, { type: 'integer', range }, (name, value) =>
    zero === true && value === 0 ? 0 : checkInteger(name, value, min, max),
  );
}

export function powerOfTwo<const S extends Common<number> & Range>(
  spec: S,
): Option<number, Result<S, number>> {
  const { min, max } = spec;
  return option(spec, { type: 'power of two', range: `${min} to ${max}` }, (name, value) => {
    const checked = checkInteger(name, value, min, max);
    if (!Number.isInteger(Math.log2(checked))) throw rangeError(name, 'a power of two', value);
    return checked;
  });
}

export function flag<const S extends Common<boolean>>(
  spec: S,
): Option<boolean, Result<S, boolean>> {
  return option(spec, { type: 'boolean' }, checkBoolean);
}

export function oneOf<const T extends string, const S extends Common<T>>(
  known: readonly T[],
  spec: S,
): Option<T, Result<S, T>> {
  return option(spec, { type: known.map(literal).join(', ') }, (name, value) =>
    checkOneOf(name, value, known),
  );
}

export function ipAddress<const S extends Common<string>>(
  spec: S,
): Option<string, Result<S, string>> {
  return option(spec, { type: 'IP address' }, checkHost);
}

/** An option that has a check of its own. `type` describes it in messages, as in 'a path'. */
export function custom<Given, Value = Given>(type: string) {
  return <const S extends Common<Value>>(
    spec: S,
    check: (name: string, value: unknown) => Value,
  ): Option<Given, Result<S, Value>> => option(spec, { type }, check);
}

export function signal(): Option<AbortSignal, AbortSignal | undefined> {
  return option({}, { type: 'AbortSignal' }, (name, value) => {
    if (!(value instanceof AbortSignal)) throw argumentTypeError(name, 'an AbortSignal', value);
    return value;
  });
}

/** An object of options. */
export function group<Options extends object>() {
  return <const T extends OptionTable<Options> & Table>(
    table: T,
  ): Option<Options, Checked<T> | undefined> =>
    option({}, { type: 'object', table }, (name, value) =>
      checkTable(name, table, value as object),
    );
}

/** An object of options whose defaults apply without the object as well. */
export function groupWithDefaults<Options extends object>() {
  return <const T extends OptionTable<Options> & Table>(table: T): Option<Options, Checked<T>> => ({
    facts: { type: 'object', table },
    check: (name, value) => checkTable(name, table, (value === undefined ? {} : value) as object),
  });
}
