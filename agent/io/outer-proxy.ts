import { AditError } from '#shared/errors.ts'
import type { HttpProxy } from '#shared/platform/tcp-proxy.ts'
import { contains, parseCidr, tryParseAddress } from '#shared/wire/ip-address.ts'

/** Through which proxy a place is reached; undefined: through none. */
export type FindProxy = (host: string, port: number) => HttpProxy | undefined

type Environment = Readonly<Record<string, string | undefined>>

export const noProxy: FindProxy = () => undefined

/**
 * The proxy of the configuration (`off`: none) for every place, else that of the environment for those that NO_PROXY leaves to it. Throws
 * AditError `config-invalid` for one that cannot be used.
 */
export function proxyFinder(configured: string | undefined, env: Environment = process.env): FindProxy {
  if (configured === 'off') return noProxy
  if (configured !== undefined) {
    const proxy = parseProxy(configured, 'The proxy')
    return () => proxy
  }
  const text = env.HTTPS_PROXY || env.https_proxy
  if (!text) return noProxy
  const proxy = parseProxy(text.includes('://') ? text : `http://${text}`, 'The proxy in HTTPS_PROXY')
  const exempt = (env.NO_PROXY || env.no_proxy || '').split(',').flatMap((word) => word.trim().toLowerCase() || [])
  return (host, port) => (isExempt(host.toLowerCase(), port, exempt) ? undefined : proxy)
}

/** `http://[USER:PASSWORD@]HOST:PORT`. The message of a refusal names no password. */
export function parseProxy(text: string, what: string): HttpProxy {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || url.protocol !== 'http:' || url.hostname === '' || !/^\/?$/.test(url.pathname))
    throw new AditError('config-invalid', `${what} is not usable.`, 'Write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT.')
  const { username, password } = url
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 80 : Number(url.port),
    ...(username !== '' && { credentials: `${decoded(username)}:${decoded(password)}` }),
  }
}

/** A per cent sign may be meant as such. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** As curl reads NO_PROXY: `*`, a host, a domain with or without its dot, a network; each perhaps with `:port`. This machine is always exempt. */
function isExempt(host: string, port: number, words: readonly string[]): boolean {
  const address = tryParseAddress(host)
  if (host === 'localhost' || (address !== undefined && loopback.some((network) => contains(network, address)))) return true
  return words.some((word) => {
    if (word === '*') return true
    const [, bare = word, only] = /^(.*[^:]):(\d{1,5})$/.exec(word) ?? []
    if (only !== undefined && tryParseAddress(word) === undefined && Number(only) !== port) return false
    const name = (only !== undefined && tryParseAddress(word) === undefined ? bare : word).replace(/^\[|\]$/g, '')
    if (address !== undefined) return contains(networkOf(name) ?? nowhere, address)
    const domain = name.replace(/^\*?\./, '')
    return host === domain || host.endsWith(`.${domain}`)
  })
}

const loopback = ['127.0.0.0/8', '::1/128'].map(parseCidr)
const nowhere = parseCidr('255.255.255.255/32')

function networkOf(text: string): ReturnType<typeof parseCidr> | undefined {
  try {
    return parseCidr(text)
  } catch {
    return undefined
  }
}
