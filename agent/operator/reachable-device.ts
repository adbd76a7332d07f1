import type { Device } from '#agent/operator/operator-api.ts'
import { AditError } from '#shared/errors.ts'
import { age } from '#shared/terminal/age.ts'

/** The device's address inside the tunnel, IPv6 before IPv4; throws `device-revoked` or `device-offline` where nobody would answer. */
export function reachableAddress(device: Device): string {
  if (device.state === 'revoked')
    throw new AditError(
      'device-revoked',
      `${device.name} is revoked.`,
      'An administrator can let it enrol again with a new claim.',
    )
  if (device.state !== 'up') {
    const heard = device.state === 'never' ? 'has never been online' : `is offline, last heard ${age(device.evidenceAgeSeconds)}`
    throw new AditError('device-offline', `${device.name} ${heard}.`, `See what is known: adit why ${device.name}.`)
  }
  const address = device.addresses.find((text) => text.includes(':')) ?? device.addresses[0]
  if (address === undefined)
    throw new AditError('internal', `${device.name} has no address.`, 'Ask the administrator of the broker.')
  return address
}

/** Throws `forbidden` where no grant opens the port: asked beforehand, since what a filter drops looks like a device that is silent. */
export function requireGrantedPort({ name, ports }: Device, port: number): void {
  if (ports.some(({ from, to }) => from <= port && port <= to)) return
  throw new AditError(
    'forbidden',
    `No grant lets you reach port ${port} of ${name}.`,
    `Ask an administrator for one: adit-broker grant add --operator YOU --tag TAG --port ${port}.`,
  )
}

/** Throws `host-key-changed` where the device's ssh shows other keys than the pinned ones. */
export function requireUnchangedKey(device: Device): void {
  if (!device.hostKeys.ssh?.changed) return
  throw new AditError(
    'host-key-changed',
    `The ssh host key of ${device.name} has CHANGED: somebody may be posing as it, or it was installed anew.`,
    `If you know why, accept the new key: adit devices accept-key ${device.name}.`,
  )
}
