import { AditError } from '#shared/errors.ts'
import { endpointText } from '#shared/wire/endpoint.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'
import type { Subject } from './examination.ts'

/** Where a broker listens unless it was told otherwise. */
const tunnelPort = 4_500
const apiPort = 8_443
const streamPort = 443

/** The doors of a broker of which only `HOST`, `HOST:PORT` (of the API) or `https://HOST:PORT` is known. Throws AditError `usage`. */
export function endpointHosts(text: string): Pick<Subject, 'api' | 'endpoints' | 'streams'> {
  const bare = tryParseAddress(text)?.length === 16 ? `[${text}]` : text
  const url = bare.startsWith('https://') ? bare : `https://${bare}`
  if (!/^https:\/\/[^/?#@]+\/?$/.test(url) || !URL.canParse(url))
    throw new AditError('usage', `"${text}" is no place of a broker.`, 'Write HOST, HOST:PORT of its API, or https://HOST:PORT.')
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '')
  // URL leaves 443 out, since it is the default of https.
  const said = /:(\d+)\/?$/.exec(url)?.[1]
  const at = (port: number | string): string => endpointText({ address: host, port })
  const api = at(said ?? apiPort)
  // The API's port takes WebSockets too.
  const streams = [...new Set([at(streamPort), api])].map((place) => `wss://${place}/v1/tunnel`)
  return { api: [`https://${api}`], endpoints: [at(tunnelPort)], streams }
}
