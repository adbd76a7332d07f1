import type { Socket } from 'node:net'
import { AditError } from '#shared/errors.ts'

/** What one address is ahead of the next, ms: enough for a handshake around the world; both then go on side by side (RFC 8305 §5). */
const staggerMs = 1_000

/**
 * Tries the addresses in order, each a little after the one before it or as soon as that one has failed; the first that `connect` is
 * content with wins. Rejects with a refusal where there was one, since it says more than a silence.
 */
export function firstThatConnects<T extends { socket: Socket }>(
  candidates: readonly string[],
  connect: (address: string) => Promise<T>,
): Promise<T & { address: string }> {
  return new Promise((resolve, reject) => {
    let failure: unknown
    let next = 0
    let open = 0
    let settled = false
    let timer: NodeJS.Timeout | undefined
    const start = (): void => {
      clearTimeout(timer)
      const address = candidates[next++]
      if (settled || address === undefined) return
      open++
      connect(address).then(
        (connected) => {
          if (settled) {
            connected.socket.destroy()
            return
          }
          settled = true
          clearTimeout(timer)
          resolve({ ...connected, address })
        },
        (error) => {
          open--
          if (!(failure instanceof AditError)) failure = error
          if (next < candidates.length) start()
          else if (open === 0 && !settled) reject(failure)
        },
      )
      if (next < candidates.length) timer = setTimeout(start, staggerMs)
    }
    start()
  })
}
