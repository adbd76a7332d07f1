import type { TLSSocket } from 'node:tls'

/** The values, in base64, of which a request's challenge must be one; several, since a connection may have several bindings. */
export type ChannelBinding = () => readonly string[]

/**
 * How a certification request is tied to the TLS connection that brings it (RFC 7030 §3.5): its challengePassword is tls-unique in
 * base64 (RFC 5929 §3), the first Finished message of the handshake: the client's in a full one, the server's where a session was
 * resumed. TLS 1.3 has no tls-unique (RFC 8446 §C.5); there tls-exporter (RFC 9266) takes its place, which a TLS 1.2 connection
 * may use too.
 */
export const channelBinding =
  (socket: TLSSocket): ChannelBinding =>
  () => {
    const exporter = socket.exportKeyingMaterial(exporterLength, exporterLabel, Buffer.alloc(0)).toString('base64')
    if (socket.getProtocol() !== 'TLSv1.2') return [exporter]
    const unique = socket.isSessionReused() ? socket.getFinished() : socket.getPeerFinished()
    return unique === undefined ? [exporter] : [unique.toString('base64'), exporter]
  }

const exporterLabel = 'EXPORTER-Channel-Binding'
const exporterLength = 32
