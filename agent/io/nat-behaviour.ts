import type { Suite } from '#shared/crypto/suite.ts'
import { BehaviourDiscovery, type NatBehaviour } from '#shared/nat/behaviour.ts'
import type { StunSocketName } from '#shared/nat/stun-round.ts'
import { Driver } from '#shared/platform/driver.ts'
import { sourceAddressTo } from '#shared/platform/local-address.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

export interface DiscoverOptions {
  readonly suite: Pick<Suite, 'random'>
  readonly clock: Clock
  readonly timers: Timers
  /** Literal endpoints of STUN servers: the broker's own first, then `broker.stun` of the configuration. */
  readonly servers: readonly Endpoint[]
}

/**
 * What kind of NAT there is between this machine and the servers of one family (that of the first), found out on two sockets of its own,
 * so that no mapping in use is touched. Takes a moment where everything answers, 4 s behind a strict filter, and 3.6 s more for each
 * server before the first that answers. Rejects only where no socket can be had.
 */
export async function discoverBehaviour({ suite, clock, timers, servers }: DiscoverOptions): Promise<NatBehaviour> {
  const isV6 = servers[0]?.address.includes(':')
  const family = servers.filter(({ address }) => address.includes(':') === isV6)
  const address = family[0] && (await sourceAddressTo(family[0].address))
  const driver = new Driver(clock, timers)
  const sockets: Partial<Record<StunSocketName, UdpSocket>> = {}
  let machine: BehaviourDiscovery | undefined
  let settle: (behaviour: NatBehaviour) => void
  const settled = new Promise<NatBehaviour>((resolve) => {
    settle = resolve
  })
  const drain = (): void => {
    for (let output = machine?.poll(); output !== undefined; output = machine?.poll())
      if (output.kind === 'done') settle(output.behaviour)
      else sockets[output.by]?.send(output.datagram, output.to)
    driver.kick()
  }
  const open = async (by: StunSocketName): Promise<UdpSocket> => {
    const onDatagram = (datagram: Uint8Array, from: Endpoint): void => {
      machine?.handle({ kind: 'datagram', by, datagram, from }, clock.now())
      drain()
    }
    const socket = await UdpSocket.bind({ address: isV6 ? '::' : '0.0.0.0', port: 0, onDatagram })
    sockets[by] = socket
    return socket
  }
  try {
    const local = {
      first: { address, port: (await open('first')).local.port },
      second: { address, port: (await open('second')).local.port },
    }
    const discovery = new BehaviourDiscovery({ suite, servers: family, local }, clock.now())
    machine = discovery
    driver.add({
      deadline: () => discovery.deadline(),
      expire(now) {
        discovery.handle({ kind: 'time' }, now)
        drain()
      },
    })
    drain()
    return await settled
  } finally {
    driver.close()
    await Promise.all(Object.values(sockets).map((socket) => socket.close()))
  }
}
