// Source packages of Debian: the test suites of what the example stands in for. Fetched, never committed.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const folder = path.resolve('build/debian');
const timeout = 120_000;
const lists = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list'];

/** Unpacks the installed release's source of `name` and returns its folder, undefined if there is none. */
export function debianSource(name: string): string | undefined {
  const found = () =>
    existsSync(folder)
      ? readdirSync(folder, { withFileTypes: true }).find(
          (entry) => entry.isDirectory() && entry.name.startsWith(`${name}-`),
        )?.name
      : undefined;
  const system = lists.find((list) => existsSync(list));
  if (found() === undefined && system !== undefined) fetch(name, system);
  const unpacked = found();
  return unpacked === undefined ? undefined : path.join(folder, unpacked);
}

/** With lists of its own: the system's stay as they are. */
function fetch(name: string, system: string): void {
  mkdirSync(path.join(folder, 'lists', 'partial'), { recursive: true });
  const sources = path.join(folder, path.basename(system));
  const list = readFileSync(system, 'utf8');
  writeFileSync(sources, list.replace(/^(Types: )?deb(?=\s)/gm, '$1deb-src'));
  const options = [
    `Dir::Etc::SourceList=${sources}`,
    'Dir::Etc::SourceParts=/dev/null',
    `Dir::State::Lists=${path.join(folder, 'lists')}`,
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option]);
  try {
    execFileSync('apt-get', [...options, 'update'], { stdio: 'pipe', timeout });
    execFileSync('apt-get', [...options, 'source', name], { cwd: folder, stdio: 'pipe', timeout });
  } catch (error) {
    console.error(`apt-get source ${name}: ${(error as Error).message}`);
  }
}
