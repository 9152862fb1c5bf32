// A FreeBSD host by what its programs printed on a booted kernel: test/fixtures/freebsd.
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { readCardTexts } from '../../cli/card-texts.js';
import type { Card } from '../../cli/facts.js';
import type { CardFacts } from '../../lib/rss/card/drivers.js';

/** Prints what the program of this name printed at the current reading, or at the last one. */
const program = `#!/bin/sh
exec awk -v wanted="$ \${0##*/} $*" -v reading="$READING" '
  /^\\$ / { if ($0 == wanted) found++; on = $0 == wanted; next }
  on { text[found] = text[found] $0 "\\n" }
  END { printf "%s", text[found < reading ? found : reading]; exit !found }' "$RECORDING"
`;
const programs = ['sysctl', 'netstat', 'ifconfig', 'cpuset', 'pgrep'];

/** Its programs are found first in PATH until it is disposed of. */
export class RecordedHost {
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'recorded-host-'));
  readonly #file: string;
  readonly #path = process.env['PATH'];

  constructor(name: string) {
    this.#file = path.resolve(`test/fixtures/freebsd/${name}.txt`);
    const script = path.join(this.#folder, 'program');
    writeFileSync(script, program);
    chmodSync(script, 0o755);
    for (const one of programs) symlinkSync('program', path.join(this.#folder, one));
    process.env['PATH'] = `${this.#folder}:${this.#path}`;
    process.env['RECORDING'] = this.#file;
    this.reading = 1;
  }

  /** Which reading of its counters the programs print. */
  set reading(number: 1 | 2) {
    process.env['READING'] = `${number}`;
  }

  /** What a command printed first. */
  text(command: string): string {
    const file = readFileSync(this.#file, 'latin1');
    return file.split(`\n$ ${command}\n`)[1]?.split(/^\$ /m)[0] ?? '';
  }

  /** Values of sysctl(8) beneath a name. */
  values(name: string): Record<string, string> {
    const lines = this.text(`sysctl ${name}`).matchAll(/^(\S+): ?(.*)$/gm);
    return Object.fromEntries([...lines].map(([, key, value]) => [key!, value!]));
  }

  /** `device`: its driver's name and number: "vmx0". */
  card(device: string): Card {
    const [, driver, unit] = /^(\w*?)(\d+)$/.exec(device) as unknown as [string, string, string];
    const sysctl = { ...this.values('net.isr'), ...this.values(`dev.${driver}.${unit}`) };
    const facts: CardFacts = {
      ...{ driver, unit: Number(unit), interface: device, sysctl },
      interrupts: this.text('sysctl -n hw.intrs').trim().split('\n'),
      allowedCpus: [0, 1],
    };
    const description = sysctl[`dev.${driver}.${unit}.%desc`] ?? '';
    return { name: device, driver, description, texts: readCardTexts(device, facts) };
  }

  [Symbol.dispose](): void {
    process.env['PATH'] = this.#path;
    delete process.env['RECORDING'];
    delete process.env['READING'];
    rmSync(this.#folder, { recursive: true });
  }
}
