// Root is for binding: requests are served as somebody else.
import { execFileSync } from 'node:child_process';

/** Becomes this user, of his one group. Nothing for whoever is not root, as memcached has it. Throws. */
export function dropPrivileges(user: string): void {
  if (process.geteuid?.() !== 0) return;
  const id = (option: string) => Number(execFileSync('id', [option, user], { encoding: 'latin1' }));
  const [uid, gid] = [id('-u'), id('-g')];
  process.setgroups!([gid]);
  process.setgid!(gid);
  process.setuid!(uid);
}
