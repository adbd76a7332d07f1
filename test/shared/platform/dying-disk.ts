import { type FilePort, nodeFiles } from '#shared/platform/files.ts'
import { PowerCut } from '#test/shared/platform/crashing-disk.ts'

/** The real file system, which dies before its operation number `cutAt` and stays dead. */
export function dyingDisk(cutAt: number): { port: FilePort; cut: () => boolean } {
  let operations = 0
  let dead = false
  const guard = <F extends (...words: never[]) => Promise<unknown>>(act: F): F =>
    (async (...words: never[]) => {
      if (dead || operations++ >= cutAt) {
        dead = true
        throw new PowerCut('power cut')
      }
      return act(...words)
    }) as F
  const port: FilePort = {
    mkdir: guard(nodeFiles.mkdir),
    rename: guard(nodeFiles.rename),
    unlink: guard(nodeFiles.unlink),
    lstat: nodeFiles.lstat,
    syncDirectory: guard(nodeFiles.syncDirectory),
    open: guard(async (path: string, flags: number, mode: number) => {
      const handle = await nodeFiles.open(path, flags, mode)
      return {
        write: guard((data: Uint8Array) => handle.write(data)),
        chmod: guard((bits: number) => handle.chmod(bits)),
        sync: guard(() => handle.sync()),
        facts: () => handle.facts(),
        read: () => handle.read(),
        close: () => handle.close(),
      }
    }),
  }
  return { port, cut: () => dead }
}
