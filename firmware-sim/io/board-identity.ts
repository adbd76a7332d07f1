import type { AgentConfig } from '#agent/core/agent-config.ts'
import { BrokerApi } from '#agent/io/broker-api.ts'
import { leafOf, requestCertificate } from '#agent/io/est.ts'
import { identityKeyToPem } from '#agent/io/identity-key.ts'
import type { AgentKeys } from '#agent/io/state-folder.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Claim } from '#shared/enrolment/claim.ts'
import { HttpsClient } from '#shared/platform/tls.ts'
import type { WallTime } from '#shared/time/instant.ts'
import type { Flash } from '#sim/flash.ts'

/** Who a simulated board is, as its flash keeps it. */
export interface BoardIdentity {
  readonly name: string
  readonly keys: AgentKeys
  readonly config: AgentConfig
  /** The API under the board's certificate. The caller closes it. */
  openApi(): { api: BrokerApi; close(): void }
}

const timeoutMs = 20_000

/** Enrols by EST over real TLS, as a Pi does; the keys are on flash before the request goes out. */
export async function enrolBoard(claim: Claim, flash: Flash, time: () => WallTime, suite: Suite): Promise<BoardIdentity> {
  const keys = makeKeys(flash, suite)
  const https = new HttpsClient({ suite, trust: { rootFingerprint: claim.ca }, time })
  const url = claim.api[0]!
  const chain = await requestCertificate({ https, url, timeoutMs }, { keys, name: claim.role, credentials: claim }, suite)
  const rootDer = https.rootDer!
  https.close()
  flash.write('certificate.pem', Buffer.from(chain))
  flash.write('ca.der', rootDer)
  const openApi = () => {
    const client = new HttpsClient({ suite, trust: { rootDer }, time, identity: { key: keys.identityPem, chain } })
    return { api: new BrokerApi(client, claim.api), close: () => client.close() }
  }
  const { api, close } = openApi()
  const config = await api.config()
  close()
  return { name: leafOf(chain).name, keys, config, openApi }
}

function makeKeys(flash: Flash, suite: Suite): AgentKeys & { identityPem: string } {
  const identityKey = flash.read('identity.key')
  const tunnelKey = flash.read('tunnel.key')
  const identity = identityKey ? suite.ecdsaP256.pair(identityKey) : suite.ecdsaP256.generate()
  const tunnel = tunnelKey ? suite.x25519.pair(tunnelKey) : suite.x25519.generate()
  flash.write('identity.key', identity.privateKey)
  flash.write('tunnel.key', tunnel.privateKey)
  return { identity, tunnel, identityPem: identityKeyToPem(identity) }
}
