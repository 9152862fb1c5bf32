import { readdirSync } from 'node:fs';

/** The documents whose code and commands are tested. */
export const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'examples/memcached/README.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
