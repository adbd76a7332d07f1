import type { DirectOptions } from '#agent/core/direct/direct-host.ts'
import type { FleetTrust } from '#agent/core/fleet-trust.ts'
import type { Log } from '#shared/platform/log.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { type Endpoint, isCarried } from '#shared/wire/endpoint.ts'
import { lanCandidates } from './lan-candidates.ts'

interface DirectSurroundings {
  /** Whose statements count. */
  readonly trust: Pick<FleetTrust, 'judge' | 'pinned'>
  /** At the time floor. */
  time(): WallTime
  /** The UDP port of the moment. */
  local(): Endpoint | undefined
  /** Ports of the gateways that lead to it. */
  mapped?(): readonly Endpoint[]
  /** Others meet this end through the broker alone. */
  readonly relayOnly?: boolean
  /** The tunnel's own interface, if there is one. */
  readonly tun?: string | undefined
  readonly log: Log
}

/** What an agent of either role needs to meet others directly on a real machine. */
export function directOptions(
  role: DirectOptions['role'],
  { trust, time, local, mapped, relayOnly, tun, log }: DirectSurroundings,
): DirectOptions {
  return {
    role,
    time,
    ...(relayOnly && { relayOnly }),
    judge: (statement, beside) => trust.judge(statement, beside),
    places: () => [
      ...lanCandidates(local()?.port, tun),
      ...(mapped?.() ?? []).map((endpoint) => ({ kind: 'mapped', endpoint }) as const),
    ],
    // Under a pinned key nothing that a broker could have made is taken for another end's.
    strict: () => trust.pinned !== undefined,
    event: (event) => {
      if (event.kind !== 'path') return log.info(event, 'direct')
      const { name, why, path } = event
      const endpoint = isCarried(path.endpoint) ? 'relay' : `${path.endpoint.address} ${path.endpoint.port}`
      log.info({ name, why, kind: path.kind, endpoint }, 'direct')
    },
  }
}
