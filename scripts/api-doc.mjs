// Writes docs/api.md from the exports of the package and their doc comments. With --check it fails
// if the file differs instead.
import ts from 'typescript';

import { writeGenerated } from './generated.mjs';

const file = 'docs/api.md';
const entries = [
  ['freebsd-rss', 'lib/index.ts'],
  ['freebsd-rss/worker', 'lib/worker/index.ts'],
  ['freebsd-rss/shm', 'lib/shm/index.ts'],
];
/** Interfaces whose members docs/options.md describes. */
const inOptions = /Options$/;

const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile('tsconfig.json', ts.sys.readFile).config,
  ts.sys,
  '.',
);
const program = ts.createProgram(
  entries.map(([, source]) => source),
  options,
);
const checker = program.getTypeChecker();

const commentOf = (symbol) =>
  ts.displayPartsToString(symbol.getDocumentationComment(checker)).replaceAll(/\s+/g, ' ').trim();

const isInternal = (symbol) => symbol.getJsDocTags(checker).some(({ name }) => name === 'internal');

function isPublic(symbol) {
  const declaration = symbol.valueDeclaration ?? symbol.declarations?.[0];
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  const named = declaration?.name && !ts.isPrivateIdentifier(declaration.name);
  return named && !(ts.getCombinedModifierFlags(declaration) & hidden) && !isInternal(symbol);
}

/** Code is not wrapped: a longer signature is shown without its types. */
const widest = 90;

const format = ts.TypeFormatFlags.NoTruncation;

/** A member or variable as it is written in a declaration. */
function signature(name, symbol) {
  const type = checker.getTypeOfSymbol(symbol);
  const calls = checker.getNonNullableType(type).getCallSignatures();
  const optional = symbol.flags & ts.SymbolFlags.Optional ? '?' : '';
  if (calls.length === 1 && !calls[0].typeParameters) {
    const call = checker.signatureToString(calls[0], undefined, format);
    const names = calls[0].parameters.map((one) => one.name).join(', ');
    return `${name}${optional}${call.length + name.length > widest ? `(${names})` : call}`;
  }
  const text = `${name}${optional}: ${checker.typeToString(type, undefined, format)}`;
  return text.length > widest ? name : text;
}

const line = (name, symbol) => {
  const comment = commentOf(symbol);
  return `- \`${signature(name, symbol)}\`${comment === '' ? '' : `. ${comment}`}`;
};

function members(symbol) {
  const own = [...(symbol.members?.values() ?? [])].filter(
    (one) => isPublic(one) && !one.name.startsWith('__'),
  );
  const statics = [...(symbol.exports?.values() ?? [])].filter(
    (one) => isPublic(one) && one.name !== 'prototype',
  );
  return [
    ...statics.map((one) => line(`${symbol.name}.${one.name}`, one)),
    ...own.map((one) =>
      line(ts.unescapeLeadingUnderscores(one.name).replace(/^__@(\w+)@.*/, '[Symbol.$1]'), one),
    ),
  ];
}

function describe(exported) {
  const symbol =
    exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  const comment = commentOf(symbol);
  const declaration = symbol.declarations[0];
  const text = [`### ${exported.name}`];
  if (ts.isFunctionDeclaration(declaration) || ts.isVariableDeclaration(declaration)) {
    text.push(`\`${signature(exported.name, symbol)}\``, comment);
    const properties = checker.getTypeOfSymbol(symbol).getProperties();
    if (ts.isVariableDeclaration(declaration))
      text.push(properties.map((one) => line(one.name, one)).join('\n'));
  } else if (ts.isTypeAliasDeclaration(declaration)) {
    const value = declaration.type.getText().replaceAll(/\s+/g, ' ');
    text.push(comment, value.length > widest ? '' : `\`${value}\``);
  } else if (inOptions.test(symbol.name)) {
    text.push(`${comment} See [options.md](options.md).`);
  } else {
    text.push(comment, members(symbol).join('\n'));
  }
  return text.filter(Boolean).join('\n\n');
}

const sections = entries.map(([name, source]) => {
  const module = checker.getSymbolAtLocation(program.getSourceFile(source));
  const exports = checker
    .getExportsOfModule(module)
    .filter((one) => !isInternal(one))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return [`## ${name}`, ...exports.map(describe)].join('\n\n');
});
const text = [
  '# Exports',
  'Made by `scripts/api-doc.mjs` from the sources. [options.md](options.md) has the options with ' +
    'their types, ranges and defaults, and [tutorial.md](tutorial.md) shows the use. ' +
    '`npm run api` makes a site of the same in `build/api`.',
  ...sections,
].join('\n\n');

await writeGenerated(file, 'node scripts/api-doc.mjs', text);
