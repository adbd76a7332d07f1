import type { FleetTrust } from '#agent/core/fleet-trust.ts'
import type { Device } from '#agent/operator/operator-api.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import type { PeerStatement } from '#shared/fleet/statement.ts'

/** What is needed of a FleetKeeper. */
interface Believer {
  readonly trust: Pick<FleetTrust, 'pinned' | 'ledger'>
  /** Throws AditError `statement-refused`. */
  learn(statements: readonly Uint8Array[]): void
}

/**
 * The device as far as it may be believed. Under a pinned fleet key: its tunnel key, addresses and host keys only as they were signed, and a
 * broker that names others is told from one that is merely not up to date by nobody, so both are refused with what differs. Without a pin
 * the broker's word counts. Throws AditError `statement-refused`.
 */
export function believedDevice(device: Device, believer: Believer): Device {
  const failures = failuresOf(device.statements ?? [], believer)
  const { pinned, ledger } = believer.trust
  if (pinned === undefined) return device
  const { name } = device
  const peer = ledger.peerNamed('device', name)
  if (peer === undefined) throw failures[0] ?? doubtful(name, 'nothing that the fleet key has signed speaks of it')
  const difference = differenceOf(device, peer)
  if (difference !== undefined) throw doubtful(name, difference)
  if (device.stock && peer.tunnelKey !== undefined) throw unsealable(name)
  const byStation = ledger.stationOf(peer.id) !== undefined
  const hostKeys = signedHostKeys(
    { ...device, hostKeys: byStation ? withoutUnsigned(device, peer, ledger) : device.hostKeys },
    peer,
    {
      ledger,
      failures,
    },
  )
  return { ...device, hostKeys, hostKeysSigned: true, firstUseSealed: byStation && hostKeys.ssh === undefined }
}

/**
 * A station knows no host key, since its boards make them when they are unpacked. Of its devices nobody's word on one is taken, the broker's
 * least of all, but the device's own: whoever has the tunnel key that the station vouched for shows it, inside the association.
 */
function withoutUnsigned(device: Device, peer: PeerStatement, ledger: FleetTrust['ledger']): Device['hostKeys'] {
  const isSigned = ([service]: [string, unknown]): boolean => ledger.hostKeys(peer.id, service) !== undefined
  return Object.fromEntries(Object.entries(device.hostKeys).filter(isSigned))
}

function differenceOf(device: Device, peer: PeerStatement): string | undefined {
  if (device.id !== peer.id) return 'it is another device than the one of that name that was signed'
  const tunnelKey = peer.tunnelKey === undefined ? null : Buffer.from(peer.tunnelKey).toString('base64')
  if (device.tunnelKey !== undefined && device.tunnelKey !== tunnelKey) return 'its tunnel key is not the one that was signed'
  const stranger = device.addresses.find((address) => !peer.addresses.includes(address))
  return stranger === undefined ? undefined : `its address ${stranger} was not signed`
}

/** Of services whose keys the broker leaves out, those that were signed stand all the same: it cannot turn a known host into an unknown one. */
function signedHostKeys(
  device: Device,
  peer: PeerStatement,
  { ledger, failures }: { ledger: FleetTrust['ledger']; failures: readonly AditError[] },
): Device['hostKeys'] {
  const services = new Set([...Object.keys(device.hostKeys), 'ssh'])
  const signed = [...services].flatMap((service) => {
    const statement = ledger.hostKeys(peer.id, service)
    const said = device.hostKeys[service]
    if (statement === undefined) {
      if (said === undefined || said.keys.length === 0) return []
      throw failures[0] ?? doubtful(device.name, `its ${service} host key is not signed yet`)
    }
    if (said !== undefined && !sameKeys(said.keys, statement.keys))
      throw doubtful(device.name, `its ${service} host key is not the one that was signed`)
    return [[service, { keys: statement.keys, changed: said?.changed ?? null }] as const]
  })
  return Object.fromEntries(signed)
}

const sameKeys = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((key) => b.includes(key))

/** All at once: a device may stand before the delegation of the station that vouches for it. */
function failuresOf(texts: readonly string[], believer: Believer): AditError[] {
  try {
    believer.learn(texts.map((text) => Uint8Array.from(Buffer.from(text, 'base64'))))
    return []
  } catch (error) {
    if (isAditError(error)) return [error]
    throw error
  }
}

/**
 * A stock WireGuard peer answers no introduction, so that nothing would ever be said to it. One without a tunnel key, an IPsec router, is
 * spoken to through the hub: that it has none is what was signed.
 */
const unsealable = (name: string): AditError =>
  new AditError(
    'forbidden',
    `${name} is a stock WireGuard peer, which holds no association end to end, and this machine has pinned a fleet key.`,
    `Install adit-agent on ${name}, or reach it from a machine that has pinned none.`,
  )

const doubtful = (name: string, why: string): AditError =>
  new AditError(
    'statement-refused',
    `The broker's word on ${name} is not believed: ${why}.`,
    'If that change is meant, an administrator signs it (adit fleet sign); if not, the broker may be in other hands.',
  )
