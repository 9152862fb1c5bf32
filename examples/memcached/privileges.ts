// Root is for binding: requests are served as somebody else.
import { execFileSync } from 'node:child_process';
import { chownSync } from 'node:fs';

/**
 * Becomes this user, of his one group; the files become his. Nothing for whoever is not root, as
 * memcached has it. Throws.
 */
export function dropPrivileges(user: string, files: (string | undefined)[]): void {
  if (process.geteuid?.() !== 0) return;
  const id = (option: string) => Number(execFileSync('id', [option, user], { encoding: 'latin1' }));
  const [uid, gid] = [id('-u'), id('-g')];
  for (const file of files) if (file !== undefined) chownSync(file, uid, gid);
  process.setgroups!([gid]);
  process.setgid!(gid);
  process.setuid!(uid);
}
