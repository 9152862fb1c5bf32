// The live page of freebsd-rss top --http, in a browser. With RSS_PICTURE, a file, it saves one.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { BrowserPage, findChromium } from '../helpers/chromium.js';
import { skipWithout } from '../helpers/features.js';
import { RawClient, serveExample } from '../helpers/memcached.js';
import { firstOutput, soon, until } from '../helpers/wait.js';

const picture = process.env['RSS_PICTURE'];
/** Seconds of history on the page: with a picture, enough to fill it. */
const seconds = picture === undefined ? 2 : 40;

it('the page draws what a server does', { skip: skipWithout('chromium') }, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rss-page-'));
  const admin = path.join(folder, 'admin');
  const server = await serveExample('-t', '2', '-o', `admin=${admin}`);
  const args = ['dist/cli/main.js', 'top', '--http', '0', admin];
  const top = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let stopped = false;
  const clients = Array.from({ length: 8 }, async (_, i) => {
    const client = new RawClient(server.port);
    for (let turn = 0; !stopped; turn++) {
      await client.ask(`get k${turn}\r\n`, 'END\r\n');
      await setTimeout(1 + ((i * (turn >> 10)) % 7));
    }
    client.close();
  });
  let browser: BrowserPage | undefined;
  try {
    const url = (await firstOutput(top)).trim();
    const page = (browser = await BrowserPage.open(findChromium()!, url));
    await until(
      'the page has a history',
      async () => (await page.evaluate<number>('points.length')) >= seconds,
      top,
    );
    const facts = await page.evaluate<Record<string, unknown>>(`({
      charts: document.querySelectorAll('.uplot canvas').length,
      colored: element('heat').getContext('2d')
        .getImageData(0, 0, element('heat').width, element('heat').height)
        .data.some((value) => value > 0),
      workers: element('workers').rows.length,
      metrics: element('metrics').textContent,
      totals: element('totals').textContent,
      note: element('note').textContent,
    })`);
    assert.deepEqual([facts['charts'], facts['colored'], facts['workers']], [4, true, 3]);
    assert.match(facts['totals'] as string, /^8 connections; 0 accepted, [1-9]/);
    assert.match(facts['metrics'] as string, /memcached_get_misses_total[1-9]/);
    assert.equal(facts['note'], '');
    if (picture !== undefined) writeFileSync(picture, await page.picture());

    stopped = true;
    await Promise.all(clients);
    assert.equal(await server.stop(), 0);
    await until('the page says that the server has gone', async () =>
      (await page.evaluate<string>("element('totals').textContent")).startsWith('no answer'),
    );
    assert.deepEqual(page.exceptions, []);
  } finally {
    stopped = true;
    await browser?.close();
    top.kill();
    await once(top, 'exit', soon());
    await Promise.allSettled(clients);
    rmSync(folder, { recursive: true });
  }
});
