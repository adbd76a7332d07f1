import { isAditError } from '#shared/errors.ts'
import type { Deadline } from '#shared/machine.ts'
import { type Instant, instant } from '#shared/time/instant.ts'
import { type OpenPorts, portsBetween } from './direct-access.ts'
import type { DirectOptions } from './direct-host.ts'
import type { PeerRecord, PeerRegister } from './peer-register.ts'

/** Longer than any timer of a system bears: it only has to be asked again. ms */
const LONGEST_WAIT = 86_400_000

/** Whether those who were taken in still may be: grants end, and statements are withdrawn or replaced. What was closed is cut at once. */
export class GrantWatch {
  readonly #options: DirectOptions
  readonly #register: PeerRegister

  constructor(options: DirectOptions, register: PeerRegister) {
    this.#options = options
    this.#register = register
  }

  /** Statements may have been withdrawn or replaced: every peer is judged again. */
  recheck(): void {
    for (const record of [...this.#register.all()]) {
      const { peer } = record
      const ports = this.#portsOf(record)
      const before = peer.filter.ports
      if (ports === undefined) this.#register.remove(peer.association.peerKey, 'withdrawn')
      else if (before !== undefined) {
        peer.filter.setPorts(ports)
        // What is open anew hurts nobody; what was closed must end.
        if (before.some((open) => !ports.some((now) => now.from <= open.from && open.to <= now.to)))
          this.#register.cut(peer, ports)
      }
    }
  }

  expire({ peer, until = peer.statement.notAfter }: PeerRecord): void {
    const { ports } = peer.filter
    const key = peer.association.peerKey
    const time = this.#options.time()
    if (peer.leads) {
      if (time >= until) this.#register.remove(key, 'expired')
      return
    }
    if (ports === undefined || ports.every(({ notAfter }) => time < notAfter)) return
    const left = ports.filter(({ notAfter }) => time < notAfter)
    peer.filter.setPorts(left)
    if (left.length === 0) this.#register.remove(key, 'expired')
    else this.#register.cut(peer, left)
  }

  deadline({ peer, until }: PeerRecord, now: Instant): Deadline | undefined {
    const time = this.#options.time()
    const end = until ?? peer.filter.nextEnd(time)
    if (end === undefined || end <= time) return undefined
    return { at: instant(now + Math.min(end - time, LONGEST_WAIT)), why: 'a grant ends' }
  }

  /** What the statements of a peer open now; undefined where one that is needed counts no more. */
  #portsOf({ peer, statements }: PeerRecord): readonly OpenPorts[] | undefined {
    const judged = statements.flatMap((bytes) => {
      try {
        return [this.#options.judge(bytes, statements)]
      } catch (error) {
        if (isAditError(error)) return []
        throw error
      }
    })
    const peers = judged.filter((one) => one.kind === 'peer')
    const operator = peers.find(({ role }) => role === 'operator')
    const device = peers.find(({ role }) => role === 'device')
    const grants = judged.filter((one) => one.kind === 'grant')
    const ports = operator && device ? portsBetween(operator, device, grants) : []
    const isSame = (peer.leads ? device : operator)?.id === peer.statement.id
    return ports.length === 0 || !isSame ? undefined : ports
  }
}
