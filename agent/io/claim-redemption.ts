import type { Suite } from '#shared/crypto/suite.ts'
import type { Claim } from '#shared/enrolment/claim.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { HttpsClient } from '#shared/platform/tls.ts'
import { eachUrl, requestCertificate } from './est.ts'
import type { Floors } from './floors.ts'
import { proxyFinder } from './outer-proxy.ts'
import type { AgentKeys, Certificates } from './state-folder.ts'

/** What a claim gives these keys: by a broker that holds the root which the claim pins, and is proven to before it is told anything. Throws as `requestCertificate`. */
export async function redeem(
  claim: Claim,
  keys: AgentKeys,
  floors: Floors,
  { suite, proxy }: { suite: Suite; proxy?: string | undefined },
  serial?: string,
): Promise<Certificates> {
  const addresses = claimedAddresses(claim) ?? {}
  const https = new HttpsClient({
    suite,
    trust: { rootFingerprint: claim.ca },
    time: () => floors.time.floor,
    lastGoodAddresses: (host) => addresses[host] ?? [],
    proxy: proxyFinder(proxy),
  })
  try {
    const request = { keys, name: claim.role, credentials: claim, serial }
    const chain = await eachUrl(claim.api, https, (server) => requestCertificate(server, request, suite))
    return { chain, root: encodePem('CERTIFICATE', https.rootDer!) }
  } finally {
    https.close()
  }
}

/** The claim's literal addresses stand for each of its hosts that has a name: who is there, TLS shows (F-08). */
export function claimedAddresses({ api, addresses }: Claim): Record<string, readonly string[]> | undefined {
  return addresses && Object.fromEntries(api.map((url) => [new URL(url).hostname, addresses]))
}
