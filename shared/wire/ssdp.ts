/**
 * Search for a gateway by SSDP (UPnP Device Architecture 1.1 §1.3): one datagram out, to the group or to the gateway itself, and answers in
 * the form of HTTP heads.
 */
export const SSDP_GROUP = '239.255.255.250'
export const SSDP_PORT = 1900

/** A device of version 2 answers to the search for version 1 too. */
export const gatewayDevice = 'urn:schemas-upnp-org:device:InternetGatewayDevice:1'

/** Longest answer that is read, bytes. */
const longestAnswer = 2_048

/** `patience`: seconds within which answers are wanted, 1 to 5. */
export function encodeSearch(target: string, patience: number): Uint8Array {
  const lines = [
    'M-SEARCH * HTTP/1.1',
    `HOST: ${SSDP_GROUP}:${SSDP_PORT}`,
    'MAN: "ssdp:discover"',
    `MX: ${patience}`,
    `ST: ${target}`,
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

/** Where the device describes itself: an `http:` URL. Undefined where the bytes are no such answer. Never throws. */
export function decodeSearchAnswer(datagram: Uint8Array): URL | undefined {
  if (datagram.length > longestAnswer) return undefined
  const text = Buffer.from(datagram).toString('latin1')
  if (!/^HTTP\/1\.[01] 200\b/.test(text)) return undefined
  const location = /^location:[ \t]*(\S+)[ \t]*\r?$/im.exec(text)?.[1] ?? ''
  if (!URL.canParse(location)) return undefined
  const url = new URL(location)
  return url.protocol === 'http:' && url.username === '' && url.password === '' ? url : undefined
}
