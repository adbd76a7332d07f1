import { tunnelPath } from '#broker/gateway/stream-door-websocket.ts'
import type { AdvertisedStreams } from '#broker/gateway/stream-ports.ts'

/**
 * Where an agent may send its datagrams in a WebSocket: at the host by which it has reached the API (`host`, with or without a port), which
 * only the agent itself could falsify, to its own harm.
 */
export function agentStreams(streams: AdvertisedStreams | undefined, host: string): string[] {
  const { configured = [], port } = streams ?? {}
  if (configured.length > 0) return [...configured]
  if (!URL.canParse(`wss://${host}${tunnelPath}`)) return []
  const api = new URL(`wss://${host}${tunnelPath}`)
  if (port === undefined) return [api.href]
  const own = new URL(api)
  own.port = String(port)
  return [...new Set([own.href, api.href])]
}
