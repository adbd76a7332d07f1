import { createSocket } from 'node:dgram'
import { networkInterfaces } from 'node:os'

/** Whether the address (literal, without zone) is this machine's; all of 127.0.0.0/8 is. */
export const isLocalAddress = (address: string): boolean =>
  address.startsWith('127.') || localAddresses().some((local) => local.address === address)

/**
 * The address that the kernel writes into datagrams of a socket that is bound to none: by the route to the rest of the world, or, without
 * one, some address of the family, rather not loopback. Undefined where the machine has none.
 */
export async function sourceAddress(family: 4 | 6): Promise<string | undefined> {
  // Of the networks for documentation.
  const routed = await sourceAddressTo(family === 4 ? '192.0.2.1' : '2001:db8::1')
  if (routed !== undefined) return routed
  const all = localAddresses().filter(({ address, scope }) => scope === 0 && address.includes(':') === (family === 6))
  return (all.find(({ internal }) => !internal) ?? all[0])?.address
}

/** Likewise, for datagrams to a literal address; undefined where there is no way to it. Sends nothing. */
export function sourceAddressTo(destination: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(destination.includes(':') ? 'udp6' : 'udp4')
    const end = (address: string | undefined): void => {
      socket.close()
      resolve(address)
    }
    socket.once('error', () => end(undefined))
    // Called with the error too, where there is one; Node's types leave it out.
    const connected = (error?: Error): void => end(error === undefined ? socket.address().address : undefined)
    socket.connect(9, destination, connected)
  })
}

interface LocalAddress {
  address: string
  internal: boolean
  /** 0: valid everywhere. */
  scope: number
}

const localAddresses = (): LocalAddress[] =>
  Object.values(networkInterfaces()).flatMap((interfaces) =>
    (interfaces ?? []).map((local) => ({
      address: local.address,
      internal: local.internal,
      scope: 'scopeid' in local ? (local.scopeid ?? 0) : 0,
    })),
  )
