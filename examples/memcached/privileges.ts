// Gives up root's privileges once the ports are bound.
import { chownSync } from 'node:fs';
import { userInfo } from 'node:os';

/**
 * Becomes this user, with the user's main group alone, and gives the files to it. As in memcached,
 * nothing happens if the process does not run as root. Throws.
 */
export function dropPrivileges(user: string, files: (string | undefined)[]): void {
  if (process.geteuid?.() !== 0) return;
  process.seteuid?.(user); // userInfo() is about the effective user
  const { uid, gid } = userInfo();
  process.seteuid?.(0);
  for (const file of files) if (file !== undefined) chownSync(file, uid, gid);
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}
