// The name of a command. Common names do not create strings.
import { wordOf } from '../store/memory.js';
import type { Tokens } from './tokens.js';

/** Names by their first four letters. */
const commonNames = new Map(
  ['incr', 'decr', 'touch', 'delete', 'gets', 'gats'].map((name) => [
    wordOf(name.slice(0, 4)),
    { name, length: name.length, last: wordOf(name.slice(-4)) },
  ]),
);

const threeBytes = 0xffffff;
const shortNames = new Map(
  ['set', 'get', 'cas', 'add', 'gat'].map((name) => [wordOf(`${name} `) & threeBytes, name]),
);

/** Word 0 of the line. */
export function commandName(tokens: Tokens): string {
  const { input } = tokens;
  const first = tokens.startOf(0);
  const length = tokens.length(0);
  if (length < 3) return tokens.text(0);
  const word = input.getInt32(first, true); // at least a line end follows
  if (length === 3) return shortNames.get(word & threeBytes) ?? tokens.text(0);
  const known = commonNames.get(word);
  return known?.length === length && known.last === input.getInt32(first + length - 4, true)
    ? known.name
    : tokens.text(0);
}
