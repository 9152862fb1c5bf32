// Gives up root's privileges once the ports are bound.
import { chownSync } from 'node:fs';
import { userInfo } from 'node:os';

/** A user, and the user's main group. */
export interface User {
  uid: number;
  gid: number;
}

/**
 * The user to become, or undefined if the process does not run as root: then it stays what it is,
 * as memcached does. Throws if there is no such user.
 */
export function findUser(name: string): User | undefined {
  if (process.geteuid?.() !== 0) return undefined;
  try {
    process.seteuid?.(name); // userInfo() is about the effective user
    const { uid, gid } = userInfo();
    return { uid, gid };
  } catch {
    throw new Error(`there is no user "${name}"`);
  } finally {
    process.seteuid?.(0);
  }
}

/** Becomes the user, in the user's main group alone, and gives the files to it. Throws. */
export function becomeUser({ uid, gid }: User, files: (string | undefined)[]): void {
  for (const file of files) if (file !== undefined) chownSync(file, uid, gid);
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}
