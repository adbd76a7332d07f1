import type { Evidence } from '../evidence.ts'
import { broken, type Finding } from '../finding.ts'

/** Network Authentication Required (RFC 6585 §6). */
const authenticationRequired = 511

/** A hotel's, a train's or a guest network's page in the way of everything else (F-09). Nothing secret is ever sent to it. */
export function portal(evidence: Evidence): Finding | undefined {
  // Who has reached the broker itself stands before no portal, whatever answers on port 80.
  if (evidence.apiWorks || evidence.streamWorks || evidence.udpWorks) return undefined
  // What the agent heard a while ago says less than what was asked just now.
  if (evidence.tunnelUp && !evidence.asked) return undefined
  for (const { endpoint, status, redirectedTo } of evidence.facts.plainHttp ?? []) {
    const led = redirectedTo !== undefined && redirectedTo !== endpoint.address && !isBroker(redirectedTo, evidence)
    if (status !== authenticationRequired && !led) continue
    const where = redirectedTo === undefined ? '' : ` (${redirectedTo})`
    const text = `A portal${where} stands between this network and the internet, and answers in the broker's place.`
    const mend =
      'Open any http:// page in a browser on this network and sign in, or have this machine exempted; nothing was told to the portal.'
    return broken('portal', text, mend)
  }
  return undefined
}

const isBroker = (host: string, { facts }: Evidence): boolean =>
  [...(facts.api ?? []), ...(facts.streams ?? [])].some((door) => door.host === host || door.endpoint.address === host)
