import type { Evidence } from '../evidence.ts'
import { broken, type Finding, ok, warn } from '../finding.ts'

/** The HTTP proxy that this machine was told to use. */
export function proxy(evidence: Evidence): Finding[] {
  const fact = evidence.facts.proxy
  if (fact === undefined) return []
  const { address, from, reached, status } = fact
  const place = `The proxy ${address} (${from})`
  if (reached === 'open' && status === 200) return [ok('proxy', `${place} lets us through.`)]
  // Where the broker is reached without it, it is no more than a wrong setting.
  const worst = evidence.udpWorks || evidence.apiWorks || evidence.tunnelUp ? warn : broken
  // Some say 401 to a wrong password.
  if (status === 407 || status === 401)
    return [
      worst(
        'proxy-password',
        `${place} asks for a name and a password that it does not have from us, or not these.`,
        'Write them into the address of the proxy: http://NAME:PASSWORD@HOST:PORT.',
      ),
    ]
  // What lies beyond it is told of the broker.
  if (reached === 'open' && status !== undefined && status >= 500)
    return [ok('proxy', `${place} answers, but does not reach the broker (HTTP ${status}).`)]
  if (reached === 'open' && status !== undefined)
    return [
      worst(
        'proxy-refuses',
        `${place} refuses the way to the broker (HTTP ${status}).`,
        "Ask its administrator to allow CONNECT to the broker's host and port.",
      ),
    ]
  // It waits for an answer from beyond, which is told of the broker too.
  if (reached === 'open') return [ok('proxy', `${place} takes our request and has not answered it yet.`)]
  return [
    worst(
      'proxy-silent',
      `${place} ${reached === 'refused' ? 'is not there' : 'does not answer'}.`,
      'Check its address, or take it out of the settings.',
    ),
  ]
}
