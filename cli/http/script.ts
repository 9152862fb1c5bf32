// The script of the live page, for browsers: it asks for a snapshot each second, and draws what has
// changed since the one before.
export const script = `'use strict';
const kept = 300; // seconds
const fewest = 30;
const colors = ['#1f77b4', '#ff7f0e', '#2ca02c', '#d62728', '#9467bd', '#8c564b', '#7f7f7f'];
const points = [];
const charts = new Map();
const element = (id) => document.getElementById(id);
const loadOf = (counters) => counters.requests || counters.accepted + counters.datagramsIn;
/** Seconds that are shown. */
const span = () => Math.max(fewest, points.length);
const round = (value) => Math.round(value).toLocaleString('en');

/** A chart of several series over time. It is made again when the number of series changes. */
function draw(id, labels, values, most) {
  const box = element(id);
  const times = points.map(({ time }) => time);
  const size = { width: Math.max(box.clientWidth, 200), height: 180 };
  let chart = charts.get(id);
  if (chart !== undefined && chart.series.length !== labels.length + 1) {
    chart.destroy();
    chart = undefined;
  }
  if (chart === undefined) {
    const series = labels.map((label, i) =>
      ({ label, stroke: colors[i % colors.length], width: 1.5, points: { show: false } }));
    const options = {
      ...size,
      series: [{}, ...series],
      scales: {
        x: { range: (u, low, high) => [high - span(), high] },
        y: { range: (u, low, high) => [0, Math.max(most, high * 1.05)] },
      },
      axes: [{}, { size: 70 }],
      cursor: { sync: { key: 'all' } },
    };
    charts.set(id, new uPlot(options, [times, ...values], box));
    return;
  }
  if (chart.width !== size.width) chart.setSize(size);
  chart.setData([times, ...values]);
}

/** A column for each second and a row for each bucket; darker is more. */
function heat() {
  const canvas = element('heat');
  const buckets = points[0].loads.length;
  canvas.width = span();
  canvas.height = buckets;
  const context = canvas.getContext('2d');
  const most = points.reduce((all, { loads }) => Math.max(all, ...loads), 1);
  points.forEach(({ loads }, i) => loads.forEach((load, bucket) => {
    context.fillStyle = 'rgba(31, 119, 180, ' + (load / most).toFixed(3) + ')';
    context.fillRect(i + canvas.width - points.length, bucket, 1, 1);
  }));
}

function table(id, head, rows) {
  const row = (cells, tag) => {
    const line = document.createElement('tr');
    for (const cell of cells) line.appendChild(document.createElement(tag)).textContent = cell;
    return line;
  };
  element(id).replaceChildren(row(head, 'th'), ...rows.map((cells) => row(cells, 'td')));
}

function keep(now, before) {
  const seconds = Math.max((now.time - before.time) / 1000, 0.001);
  const rate = (value, earlier) => Math.max(0, value - earlier) / seconds;
  const load = (row, earlier) => rate(loadOf(row), loadOf(earlier || row));
  const lost = ({ kernelDrops }) => kernelDrops.datagrams + kernelDrops.connections;
  const total = (name) => rate(now.total[name], before.total[name]);
  points.push({
    time: now.time / 1000,
    loads: now.buckets.map((bucket, i) => load(bucket, before.buckets[i])),
    load: now.workers.map((worker, i) => load(worker, before.workers[i])),
    busy: now.workers.map((worker) => 100 * worker.loopUtilization),
    delay: now.workers.map((worker) => worker.loopDelayP99Us / 1000),
    lost: [
      total('misplaced'), rate(lost(now), lost(before)), total('datagramsDropped'),
      total('inboxFull'),
    ],
  });
  if (points.length > kept) points.shift();
  element('title').textContent = 'process ' + now.pid + ', ' + now.steering + ': ' +
    now.buckets.length + ' buckets, ' + now.workers.length + ' workers';
  element('totals').className = '';
  element('totals').textContent = round(now.total.served - now.total.closed) + ' connections; ' +
    round(total('accepted')) + ' accepted, ' + round(total('requests')) + ' requests, ' +
    round(total('datagramsIn')) + ' datagrams a second; misplaced ' +
    round(now.total.misplaced) + ' of ' + round(now.total.placementSamples) + ' samples';
}

function show(now, before) {
  keep(now, before);
  heat();
  if (window.uPlot === undefined)
    element('note').textContent = 'Charts need the package uplot: npm install uplot';
  else {
    const over = (name) => points[0][name].map((_, i) => points.map((entry) => entry[name][i]));
    const workers = now.workers.map(({ workerIndex }) => 'worker ' + workerIndex);
    draw('load', workers, over('load'), 1);
    draw('busy', workers, over('busy'), 100);
    draw('delay', workers, over('delay'), 1);
    const lost = ['misplaced', 'kernel', 'replies', 'inbox full'];
    draw('lost', lost, over('lost'), 1);
  }
  table(
    'workers',
    ['worker', 'CPU', 'busy %', 'p99 us', 'inbox', 'most', 'lock waits', 'misplaced'],
    now.workers.map((worker) => [
      worker.workerIndex, worker.cpu, round(100 * worker.loopUtilization),
      round(worker.loopDelayP99Us), round(worker.inboxLength), round(worker.inboxPeak),
      round(worker.lockWaits), round(worker.misplaced),
    ]),
  );
  element('metrics-title').hidden = now.metrics.length === 0;
  if (now.metrics.length > 0)
    table('metrics', ['name', 'value'], now.metrics.map(({ name, value }) => [name, round(value)]));
}

let last;
async function turn() {
  try {
    const answer = await fetch('/snapshot');
    if (!answer.ok) throw new Error(await answer.text());
    const now = await answer.json();
    const same = last !== undefined && last.pid === now.pid &&
      last.buckets.length === now.buckets.length && last.workers.length === now.workers.length;
    if (same) show(now, last);
    else points.length = 0;
    last = now;
  } catch (error) {
    element('totals').className = 'failed';
    element('totals').textContent = 'no answer: ' + error.message;
  }
  setTimeout(turn, 1000);
}
turn();
`;
