import { type Link, spanText } from '#broker/api/why-link.ts'
import type { PeerDropCode } from '#broker/gateway/peer-drops.ts'
import type { GatewayView } from '#broker/gateway/view.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { minutes, type WallTime } from '#shared/time/instant.ts'

/** What was longer ago explains nothing of now. */
const telling = minutes(10)

/** What each means for the peer whose packets they are. */
const meanings: Readonly<Record<PeerDropCode, (name: string) => Pick<Link, 'state' | 'text' | 'mend'>>> = {
  // Its sender is told, and cuts its packets: so it is how each path's size is learnt.
  'inner-too-big': (name) => ({ state: 'ok', text: `packets to ${name} were too large for its path`, mend: '' }),
  'inner-source-refused': (name) => ({
    state: 'warn',
    text: `packets of ${name} bore a source address that is not its own, and were refused`,
    mend: `Let what runs behind ${name} speak by its inner address (NAT); networks behind an IPsec peer are named when it is added: --subnet.`,
  }),
}

/**
 * Packets that went no further at the broker of late: the device's and the operator's own, and what nobody can be named for only where the
 * device cannot be reached, and as what it is.
 */
export function dropLinks(
  { device, operator, answered }: { device: Principal; operator: Principal; answered: boolean },
  gateway: Pick<GatewayView, 'drops' | 'counters'>,
  now: WallTime,
): Link[] {
  const own = [device, operator].flatMap((principal) =>
    gateway
      .drops(principal)
      .filter(({ lastAt }) => now - lastAt < telling)
      .map(({ code, count, lastAt }): Link => {
        const { state, text, mend } = meanings[code](principal.name)
        return { code, state, text: `${count} ${text}, the last ${spanText(Math.max(0, now - lastAt))} ago.`, mend }
      }),
  )
  const stale = gateway.counters().drops['stale-timestamp'] ?? 0
  if (answered || stale === 0) return own
  const text = `Since this broker started, ${stale} handshakes of all peers together bore a timestamp that was taken before; whose is not counted.`
  return [...own, { code: 'stale-timestamp', state: 'ok', text, mend: '' }]
}
