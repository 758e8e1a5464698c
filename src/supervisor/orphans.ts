import { collectChild, endedChild } from '../linux/wait.js';

/**
 * Collects children that are not ours: orphans, where this process is the first of a container, and what a shell had
 * started before it became this process. `isOurs` says which are left for Node to collect. Returns what is to be called
 * when one of those has ended: it may have stood before others.
 */
export function collectOrphans(isOurs: (pid: number) => boolean): () => void {
  const collect = (): void => {
    for (let pid = endedChild(); pid !== undefined && !isOurs(pid); pid = endedChild()) collectChild(pid);
  };
  process.on('SIGCHLD', collect);
  return collect;
}
