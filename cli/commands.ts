// All commands, by name.
import type { Command } from './command.js';
import { conns } from './conns.js';
import { doctor } from './doctor.js';
import { flows } from './flows.js';
import { hash } from './hash.js';
import { info } from './info.js';
import { learn } from './learn.js';
import { load } from './load.js';
import { record } from './record.js';
import { replay } from './replay.js';
import { top } from './top.js';
import { watch } from './watch.js';

export const commands: Readonly<Record<string, Command>> = {
  info,
  doctor,
  hash,
  flows,
  load,
  top,
  conns,
  watch,
  learn,
  record,
  replay,
};
