import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { HttpsClient } from '#shared/platform/tls.ts'
import { wallTime } from '#shared/time/instant.ts'
import { boardProof, readBoardIdentity } from './board-identity.ts'
import { addressesOf } from './endpoint-resolver.ts'
import { eachUrl, leafOf, requestCertificate } from './est.ts'
import type { Floors } from './floors.ts'
import type { FindProxy } from './outer-proxy.ts'
import type { AgentKeys, AgentRecord, StateFolder } from './state-folder.ts'
import { readVoucherLedger } from './voucher-ledger.ts'

/** Who comes back, and to whom. */
interface ReturningBoard {
  readonly folder: StateFolder
  /** The device's own: they stay what they are. */
  readonly keys: AgentKeys
  readonly record: AgentRecord
  readonly floors: Floors
  /** DER of the roots that are trusted. */
  readonly roots: readonly Uint8Array[]
  readonly suite: Suite
  readonly proxy: FindProxy
  /** Until when its present certificate lasts or lasted, ms since 1970. */
  readonly notAfter: number
}

/**
 * The way back of a board whose certificate the broker does not let renew any more: the IDevID of its maker never ends, and with the keys
 * of the device that the board became it is renewed as that one. PEM, leaf first; undefined where the folder's device did not come of an
 * IDevID. Throws AditError, for one that was revoked or is in service elsewhere too.
 */
export async function returnAsBoard(returning: ReturningBoard): Promise<string | undefined> {
  const { folder, keys, record, floors, roots, suite, proxy, notAfter } = returning
  const board = await readBoardIdentity(folder.path, suite)
  if (board === undefined || (await readVoucherLedger(folder.path))?.stage !== 'enrolled') return undefined
  const https = new HttpsClient({
    suite,
    trust: { roots },
    ...boardProof(board),
    time: () => wallTime(Math.max(floors.time.floor, board.leaf.notBefore)),
    lastGoodAddresses: (host) => addressesOf(host, record),
    proxy,
  })
  try {
    const wish = { keys, name: record.name, first: true }
    const chain = await eachUrl(record.api, https, (server) => requestCertificate(server, wish, suite))
    const leaf = leafOf(chain)
    // Of a device that lives the broker has the certificate that it recorded at first, and nothing more.
    if (leaf.name !== record.name || leaf.notAfter <= notAfter) throw notRenewed(record.name)
    return chain
  } finally {
    https.close()
  }
}

const notRenewed = (name: string): AditError =>
  new AditError(
    'certificate-refused',
    `The broker does not let ${name} come back by the IDevID of its board.`,
    `Look at it there: adit-broker lane list; adit-broker device show ${name}`,
  )
