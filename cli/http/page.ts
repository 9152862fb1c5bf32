// The live page of `top --http`. It asks for a snapshot each second, and draws what has changed.
export const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>freebsd-rss</title>
<style>
  body { font: 14px system-ui, sans-serif; margin: 1.5em; color: #222; }
  h1 { font-size: 1.2em; } h2 { font-size: 1em; margin: 1.2em 0 0.2em; }
  svg, canvas { width: 100%; height: 110px; background: #f6f6f6; display: block; }
  canvas { height: 180px; image-rendering: pixelated; }
  table { border-collapse: collapse; } td, th { padding: 0.1em 0.9em; text-align: right; }
  .lost { color: #b00; }
</style>
<h1 id="title">freebsd-rss</h1>
<p id="totals"></p>
<h2>Load of each bucket (down) over the last minutes (across)</h2>
<canvas id="heat" width="180" height="1"></canvas>
<h2>Busy share of each worker's loop</h2><svg id="busy"></svg>
<h2>Delay of each worker's loop, 99th percentile</h2><svg id="delay"></svg>
<h2>Misplaced flows (of samples), drops and full inboxes, each second</h2><svg id="lost"></svg>
<table id="workers"></table>
<script>
'use strict';
const kept = 180;
const colors = ['#1f77b4', '#ff7f0e', '#2ca02c', '#d62728', '#9467bd', '#8c564b', '#7f7f7f'];
const history = [];
const element = (id) => document.getElementById(id);
const loadOf = (bucket) => bucket.requests || bucket.accepted + bucket.datagramsIn;
const round = (value) => Math.round(value).toLocaleString('en');

/** Lines over time: series of equally many values. */
function lines(id, series, unit, least) {
  const most = Math.max(least, ...series.flat());
  const y = (value) => 100 - (96 * value) / most;
  const x = (i) => (100 * (i + kept - series[0].length)) / (kept - 1);
  const drawn = series.map((values, i) => {
    const point = (value, at) => x(at).toFixed(2) + ',' + y(value).toFixed(2);
    const points = values.map(point).join(' ');
    return '<polyline fill="none" stroke-width="1.5" vector-effect="non-scaling-stroke" stroke="' +
      colors[i % colors.length] + '" points="' + points + '"/>';
  });
  const svg = element(id);
  svg.setAttribute('viewBox', '0 0 100 100');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.innerHTML = drawn.join('');
  const title = svg.previousElementSibling;
  title.textContent = title.textContent.replace(/ — top .*$/, '') + ' — top ' + round(most) + unit;
}

/** A column for each second; darker is more. */
function heat() {
  const canvas = element('heat');
  const buckets = history[0].loads.length;
  if (canvas.height !== buckets) canvas.height = buckets;
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, kept, buckets);
  const most = Math.max(1, ...history.flatMap(({ loads }) => loads));
  history.forEach(({ loads }, i) => loads.forEach((load, bucket) => {
    context.fillStyle = 'rgba(31, 119, 180, ' + (load / most).toFixed(3) + ')';
    context.fillRect(i + kept - history.length, bucket, 1, 1);
  }));
}

function show(now, before) {
  const seconds = Math.max((now.time - before.time) / 1000, 0.001);
  const rate = (name) => Math.max(0, now.total[name] - before.total[name]) / seconds;
  history.push({
    loads: now.buckets.map((bucket, i) =>
      Math.max(0, loadOf(bucket) - loadOf(before.buckets[i] || bucket)) / seconds),
    busy: now.workers.map((worker) => 100 * worker.loopUtilization),
    delay: now.workers.map((worker) => worker.loopDelayP99Us),
    lost: [rate('misplaced'), rate('datagramsDropped'), rate('inboxFull')],
  });
  if (history.length > kept) history.shift();
  element('title').textContent = 'process ' + now.pid + ', ' + now.steering + ': ' +
    now.buckets.length + ' buckets, ' + now.workers.length + ' workers';
  element('totals').textContent = round(now.total.served - now.total.closed) + ' connections; ' +
    round(rate('accepted')) + ' accepted, ' + round(rate('requests')) + ' requests, ' +
    round(rate('datagramsIn')) + ' datagrams a second; misplaced ' + round(now.total.misplaced) +
    ' of ' + round(now.total.placementSamples) + ' samples';
  const over = (name) =>
    history[0][name].map((_, i) => history.map((entry) => entry[name][i] || 0));
  heat();
  lines('busy', over('busy'), ' %', 100);
  lines('delay', over('delay'), ' us', 1000);
  lines('lost', over('lost'), '', 1);
  const head = ['worker', 'CPU', 'busy %', 'p99 us', 'inbox', 'most', 'lock waits', 'misplaced'];
  const rows = now.workers.map((worker) => [
    worker.workerIndex, worker.cpu, round(100 * worker.loopUtilization),
    round(worker.loopDelayP99Us), round(worker.inboxLength), round(worker.inboxPeak),
    round(worker.lockWaits), round(worker.misplaced),
  ]);
  const row = (cells, tag) =>
    '<tr>' + cells.map((cell) => '<' + tag + '>' + cell + '</' + tag + '>').join('') + '</tr>';
  element('workers').innerHTML = row(head, 'th') + rows.map((cells) => row(cells, 'td')).join('');
}

let last;
async function turn() {
  try {
    const answer = await fetch('/snapshot');
    if (!answer.ok) throw new Error(await answer.text());
    const now = await answer.json();
    if (last !== undefined && last.pid === now.pid && last.buckets.length === now.buckets.length)
      show(now, last);
    else history.length = 0;
    last = now;
  } catch (error) {
    element('totals').innerHTML = '<span class="lost"></span>';
    element('totals').firstChild.textContent = 'no answer: ' + error.message;
  }
  setTimeout(turn, 1000);
}
turn();
</script>
</html>
`;
