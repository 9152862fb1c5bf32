// Draws the architecture picture: node scripts/architecture.mjs > docs/architecture.svg
const width = 760;
const columns = [0, 1, 2];
const left = (column) => 30 + column * 160;

const card = { y: 20, height: 76, fill: '#e8eef7' };
const kernel = { y: 126, height: 106, fill: '#eef3e6' };
const process_ = { y: 262, height: 252, fill: '#fbf3e4' };

const svg = [];
const add = (line) => svg.push(`  ${line}`);

function box(x, y, w, h, fill, lines, { bold = true } = {}) {
  add(`<rect x="${x}" y="${y}" width="${w}" height="${h}" rx="4" fill="${fill}" stroke="#555"/>`);
  lines.forEach((line, index) => {
    const at = y + h / 2 + 5 + (index - (lines.length - 1) / 2) * 17;
    const weight = bold && index === 0 ? ' font-weight="bold"' : '';
    add(`<text x="${x + w / 2}" y="${at}" text-anchor="middle"${weight}>${line}</text>`);
  });
}

function layer({ y, height, fill }, title) {
  add(`<rect x="10" y="${y}" width="${width - 20}" height="${height}" rx="8" fill="${fill}"/>`);
  add(`<text x="${width - 24}" y="${y + 20}" text-anchor="end" fill="#555">${title}</text>`);
}

function arrow(x1, y1, x2, y2, style = '') {
  add(
    `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="#333" stroke-width="1.5" ` +
      `marker-end="url(#head)"${style}/>`,
  );
}

layer(card, 'network card');
layer(kernel, 'kernel');
layer(process_, 'process');

for (const column of columns) {
  const x = left(column);
  const middle = x + 70;
  box(x, card.y + 20, 140, 44, '#fff', [`queue ${column}`, 'by hash and bucket']);
  arrow(middle, card.y + 64, middle, kernel.y + 12);
  box(x, kernel.y + 12, 140, 30, '#fff', [`CPU ${column}: TCP, UDP`]);
  arrow(middle, kernel.y + 42, middle, kernel.y + 62);
  box(x, kernel.y + 62, 140, 30, '#fff', ['listener of worker ' + column], { bold: false });
  arrow(middle, kernel.y + 92, middle, process_.y + 14);
  box(x, process_.y + 14, 140, 78, '#fff', [
    `worker ${column}`,
    `pinned to CPU ${column}`,
    'engine in C++',
    'your module',
  ]);
  box(x, process_.y + 126, 140, 30, '#f4f4f4', ['inbox of its buckets'], { bold: false });
}

// Worker 0 has accepted a flow of a bucket of worker 1.
arrow(left(0) + 100, process_.y + 92, left(1) + 30, process_.y + 126, ' stroke-dasharray="5 3"');
arrow(left(1) + 90, process_.y + 126, left(1) + 90, process_.y + 92, ' stroke-dasharray="5 3"');
add(`<text x="${left(0) + 4}" y="${process_.y + 114}" font-style="italic">hand-off</text>`);

const side = left(3) + 10;
box(side, process_.y + 34, 220, 122, '#fff', [
  'main thread',
  'reads the RSS configuration',
  'opens the listeners',
  'starts and replaces workers',
  'moves buckets, upgrades',
]);
arrow(side, process_.y + 54, left(2) + 140, process_.y + 54);
box(30, process_.y + 182, width - 60, 58, '#f4f4f4', [
  'shared by all threads',
  'bucket table, counters per worker and bucket, heartbeats, segments of your own',
]);

const height = process_.y + process_.height + 10;
console.log(
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"`,
    `  width="${width}" height="${height}" font-family="sans-serif" font-size="13">`,
    '  <title>How a flow reaches its worker</title>',
    '  <defs>',
    '    <marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"',
    '      orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#333"/></marker>',
    '  </defs>',
    `  <rect width="${width}" height="${height}" fill="#fff"/>`,
    ...svg,
    '</svg>',
  ].join('\n'),
);
