import { readFile } from 'node:fs/promises'
import { splitEndpoint } from '#broker/endpoint-text.ts'
import type { StreamDoor } from '#broker/gateway/stream-door.ts'
import {
  listenTcp,
  listenWebsocket,
  type Place,
  type ServerPem,
  type StreamListener,
} from '#broker/gateway/stream-door-listeners.ts'
import type { AuthorityFace } from '#broker/identity/authority.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { endpointText } from '#shared/wire/endpoint.ts'

/** Where streams are taken, as configured. */
export interface StreamPlaces {
  /** RFC 9329, where the esp suite is served. `auto`: the port of the tunnels, if it is free. */
  readonly tcp?: Place | 'auto' | 'off' | undefined
  /** WebSockets, besides those at the API's port. */
  readonly websocket?: Place | undefined
  /** PEM files for it; undefined: the certificate of the API. */
  readonly pem?: { readonly certificate: string; readonly key: string } | undefined
  /** What agents are told of it. */
  readonly public?: readonly string[]
}

/** What is known of WebSockets besides those that the API's own port takes. */
export interface AdvertisedStreams {
  /** `wss:` URLs of the configuration: they win. */
  readonly configured: readonly string[]
  /** A port for WebSockets alone. */
  readonly port: number | undefined
}

export interface StreamPorts {
  /** "address:port" of each that is open. */
  readonly places: { websocket?: string; tcp?: string }
  readonly advertised: AdvertisedStreams
  close(): Promise<void>
}

interface Surroundings {
  door: StreamDoor
  /** "address:port" of the tunnels. */
  udp: string
  ipsec: boolean
  authority: Pick<AuthorityFace, 'tls'>
  timers: Timers
  log: Log
}

/** Opens the ports for streams. Throws AditError `port-in-use` or `config-invalid`, and leaves nothing open then. */
export async function openStreams(places: StreamPlaces, around: Surroundings): Promise<StreamPorts> {
  const { door, authority, timers, log } = around
  const { pem } = places
  const tcp = await openTcp(places.tcp ?? 'auto', around)
  let websocket: StreamListener | undefined
  try {
    const certificate = pem ? () => readPem(pem) : async () => authority.tls
    websocket = places.websocket && (await listenWebsocket({ place: places.websocket, door, certificate, timers, log }))
  } catch (error) {
    await tcp?.close()
    throw error
  }
  return {
    places: {
      ...(websocket && { websocket: endpointText(websocket.local) }),
      ...(tcp && { tcp: endpointText(tcp.local) }),
    },
    advertised: { configured: places.public ?? [], port: websocket?.local.port },
    async close() {
      // A listener is closed when its last connection has ended.
      const closing = Promise.all([tcp?.close(), websocket?.close()])
      door.close()
      await closing
    },
  }
}

async function openTcp(
  wanted: Place | 'auto' | 'off',
  { ipsec, udp, door, log }: Surroundings,
): Promise<StreamListener | undefined> {
  if (wanted === 'off' || !ipsec) return undefined
  if (wanted !== 'auto') return listenTcp(wanted, door)
  const [address, port] = splitEndpoint(udp)
  try {
    return await listenTcp({ ...(address !== '' && { address }), port: Number(port) }, door)
  } catch (error) {
    if (!isAditError(error)) throw error
    // Nobody has asked for it: a fallback shall not keep the broker from running.
    log.warn({ code: error.code }, `${error.message} IKE over TCP is not offered; ipsec.tcp names another port, or "off".`)
    return undefined
  }
}

async function readPem({ certificate, key }: { certificate: string; key: string }): Promise<ServerPem> {
  try {
    const [cert, secret] = await Promise.all([readFile(certificate, 'utf8'), readFile(key, 'utf8')])
    return { cert, key: secret }
  } catch (cause) {
    const message = `The certificate for WebSockets cannot be read: ${(cause as Error).message}.`
    throw new AditError('config-invalid', message, 'Mend certificate and key under [websocket], or leave both out.', { cause })
  }
}
