import type { LedgerStore } from '#agent/station/io/ledger-store.ts'
import type { BrokerView, StationBroker } from '#agent/station/io/station-broker.ts'
import type { StationParts } from '#agent/station/io/station-folder.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { writeResponder } from '#shared/enrolment/unit-places.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { createRequest } from '#shared/pki/request.ts'

type Renewing = Pick<StationParts, 'identity' | 'own' | 'issuers'>

/**
 * Asks the broker for the certificate of the station's own CA: the same key, with what it may issue now, below the CA that signs devices
 * now. The ledger says from which entry on it counts. Cut off anywhere, the same again goes on from there. True where it is another one
 * than before.
 */
export async function renewDelegation(
  { identity, own, issuers }: Renewing,
  ledger: LedgerStore,
  broker: Pick<StationBroker, 'delegation'>,
  suite: Suite,
): Promise<boolean> {
  const before = own.ca.certificate.serialHex
  const { chain } = await broker.delegation(createRequest({ name: identity.record.name, identity: own.pair }, suite))
  // Before the chain that they are in is replaced: what was issued below them is proven by them.
  const [, ...above] = decodePem('CERTIFICATE', chain)
  if (await issuers.learn(above)) await identity.gatherRoots()
  await own.take(chain)
  await noteDelegation(own, ledger)
  return own.ca.certificate.serialHex !== before
}

/** The broker's device CA, which is above ours, may answer outsiders who ask about our units: we are seldom on line. */
export async function lendAnswers(
  { own }: Pick<StationParts, 'own'>,
  broker: Pick<StationBroker, 'responder'>,
  suite: Suite,
): Promise<void> {
  const [, above] = decodePem('CERTIFICATE', own.chain)
  if (above !== undefined) await broker.responder(writeResponder(own.ca, parseCertificate(above).spki, suite))
}

/** Whether the broker has another certificate for us than we have, or would make one. */
export const isRenewalDue = ({ own }: Pick<StationParts, 'own'>, { ca, due }: BrokerView): boolean =>
  due || (ca !== null && ca !== own.ca.certificate.serialHex)

/** The ledger says under which delegation what follows is issued; where it does so already, nothing is added. */
export async function noteDelegation({ ca }: StationParts['own'], ledger: LedgerStore): Promise<void> {
  const { der } = ca.certificate
  await ledger.change(({ account, now }) => {
    const isNoted = account.delegation !== undefined && equalPublic(account.delegation.certificate.der, der)
    return { entries: isNoted ? [] : [{ kind: 'delegated', at: now, certificate: der }], result: () => undefined }
  })
}
