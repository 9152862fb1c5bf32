// Gives up root's privileges once the ports are bound.
import { execFileSync } from 'node:child_process';
import { chownSync } from 'node:fs';

/**
 * Becomes this user, with the user's main group alone, and gives the files to it. As in memcached,
 * nothing happens if the process does not run as root. Throws.
 */
export function dropPrivileges(user: string, files: (string | undefined)[]): void {
  if (process.geteuid?.() !== 0) return;
  const id = (option: string) => Number(execFileSync('id', [option, user], { encoding: 'latin1' }));
  const [uid, gid] = [id('-u'), id('-g')];
  for (const file of files) if (file !== undefined) chownSync(file, uid, gid);
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}
