import type { Config, OpenPorts } from '#broker/config.ts'
import { trySplitListen } from '#broker/config.ts'
import type { GatewayOptions } from '#broker/gateway/gateway-parts.ts'
import type { Fleet } from '#broker/registry/fleet.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { openLane } from '#shared/platform/linux-engine/open-lane.ts'
import type { Log } from '#shared/platform/log.ts'
import { backgroundTimers } from '#shared/platform/timers.ts'
import { TunNetwork } from '#shared/platform/tun-network/tun-network.ts'

/** Of a broker: many sessions, and flows as its filter allows. */
const size = { sessions: 131_072, flows: 131_072 }
/** Room for the largest inner packets that any agent's path may carry (DESIGN §5); what an agent's own path lacks, it tells. Bytes. */
const tunMtu = 1_420

type Road = Pick<GatewayOptions, 'lane' | 'hostNetwork' | 'host'>

/** What the configuration says of the engine and the TUN; nothing where it wants the portable engine. */
export function fastRoad(config: Config, fleet: Fleet, folder: string, log: Log): Road {
  const { engine, lanes, tun } = config
  if (engine === 'portable' || (engine === 'auto' && tun === undefined)) return {}
  const api = trySplitListen(config.api)?.port
  return {
    lane: (bind) =>
      openLane({ clock: systemClock, timers: backgroundTimers, log, bind: { ...bind, neverFragment: true }, tun, size, lanes }),
    hostNetwork: (name) =>
      TunNetwork.apply({ name, addresses: fleet.broker, mtu: tunMtu, routes: fleet.routes }, { folder, log }),
    ...(tun !== undefined && {
      host: {
        reaches: (port) => holds(config.hostToAgents, port),
        serves: (port) => port === api || holds(config.agentsToHost, port),
      },
    }),
  }
}

const holds = (ports: OpenPorts, port: number): boolean => ports === 'all' || ports.includes(port)
