import { aditEsp, aditNoise } from './adit.ts'
import type { Contender, RelayContender } from './contender.ts'
import { aditEngine } from './engine-hook.ts'
import { nebula } from './nebula.ts'
import { openvpn } from './openvpn.ts'
import { aditRelay, aditRelayEsp } from './relay-adit.ts'
import { aditRelayIpsec } from './relay-adit-ipsec.ts'
import { strongswan } from './strongswan.ts'
import { veth } from './veth.ts'
import { wireguardGo, wireguardGoRelay } from './wireguard-go.ts'

/** All who take part, in the order of their turns and of the tables' columns. */

export const pairContenders: readonly Contender[] = [
  veth,
  wireguardGo,
  aditNoise,
  aditEsp,
  aditEngine,
  strongswan,
  nebula,
  openvpn,
]

export const relayContenders: readonly RelayContender[] = [wireguardGoRelay, aditRelay, aditRelayEsp, aditRelayIpsec]
