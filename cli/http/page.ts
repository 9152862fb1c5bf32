// The live page of `top --http`. Its script is /page.js, and draws with the package uplot.
const charts: readonly [id: string, title: string][] = [
  ['load', 'Load of each worker, per second'],
  ['busy', 'Busy share of each worker’s loop, %'],
  ['delay', 'Delay of each worker’s loop, 99th percentile, ms'],
  ['lost', 'Misplaced samples, drops and full inboxes, per second'],
];

export const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>freebsd-rss</title>
<link rel="stylesheet" href="/uplot.css">
<style>
  body { font: 14px system-ui, sans-serif; margin: 1.5em; color: #222; }
  h1 { font-size: 1.2em; }
  h2 { font-size: 1em; margin: 1.2em 0 0.2em; }
  #charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1em; }
  #charts > div { min-width: 0; }
  #heat { width: 100%; height: 200px; background: #f6f6f6; image-rendering: pixelated; }
  table { border-collapse: collapse; }
  td, th { padding: 0.1em 0.9em; text-align: right; }
  td:first-child, th:first-child { text-align: left; }
  .failed { color: #b00; }
</style>
<h1 id="title">freebsd-rss</h1>
<p id="totals"></p>
<p id="note"></p>
<h2 id="heat-title">Load of each bucket (down) over the last minutes (across)</h2>
<canvas id="heat" height="1"></canvas>
<div id="charts">
${charts.map(([id, title]) => `<div><h2>${title}</h2><div id="${id}"></div></div>`).join('\n')}
</div>
<h2>Workers</h2>
<table id="workers"></table>
<h2 id="metrics-title" hidden>Metrics of the program</h2>
<table id="metrics"></table>
<script src="/uplot.js"></script>
<script src="/page.js"></script>
</html>
`;
