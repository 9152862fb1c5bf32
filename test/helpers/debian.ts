// Fetches Debian source packages, for the upstream test suites in them.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const folder = path.resolve('build/debian');
const timeout = 120_000;
const lists = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list'];

/** Unpacks the source of the installed release of `name`; returns its folder, if there is one. */
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

/** Uses package lists of its own, so that the system's stay unchanged. */
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
