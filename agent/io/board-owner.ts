import { rootsToTrust } from '#agent/core/root-trust.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { issuerIdentifier } from '#shared/enrolment/idevid.ts'
import { openVoucher } from '#shared/enrolment/signed-voucher.ts'
import type { Voucher } from '#shared/enrolment/voucher.ts'
import { checkStillHolds, judgeVoucher } from '#shared/enrolment/voucher-rules.ts'
import { isAditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { HttpsClient } from '#shared/platform/tls.ts'
import { wallTime } from '#shared/time/instant.ts'
import { type BoardIdentity, boardProof } from './board-identity.ts'
import { BrokerApi, firstThatAnswers, type Requester } from './broker-api.ts'
import { fetchEnrolmentKey, requestCertificate } from './est.ts'
import type { Floors } from './floors.ts'
import { leaveFleet } from './leave-fleet.ts'
import type { FindProxy } from './outer-proxy.ts'
import type { StateFolder } from './state-folder.ts'
import { takeIdentity } from './take-identity.ts'
import type { TokenPlace } from './token-place.ts'
import { readVoucherLedger, type VoucherLedger, writeVoucherLedger } from './voucher-ledger.ts'

export interface OwnerPorts {
  readonly folder: StateFolder
  readonly board: BoardIdentity
  readonly floors: Floors
  readonly suite: Suite
  readonly proxy: FindProxy
  /** Where the operational identity key is to be, if in hardware. */
  readonly pkcs11?: TokenPlace | undefined
}

/** Patience with one URL of an owner, in ms. */
const timeoutMs = 8_000

/** `enrolled`: under this voucher, now; `kept`: nothing had to be done. */
export type Following = 'enrolled' | 'kept'

/**
 * Follows a voucher (CMS DER): the board becomes its owner's. `nonce`: of the request that it answers.
 *
 *   judge -> meet the owner's broker, proven by what the voucher pins -> note it -> leave the old fleet -> enrol by the IDevID
 *
 * Nothing is given up before the new owner's broker has answered; from the note on a power cut is mended by doing the same again. Of a newer
 * voucher for the owner that the board has already, only the places are taken over where that owner answers. Throws AditError with the reason.
 */
export async function followVoucher(der: Uint8Array, ports: OwnerPorts, nonce?: Uint8Array): Promise<Following> {
  const { folder, board, floors, suite } = ports
  const { voucher, digest } = openVoucher(der, [board.factory], suite)
  const before = await readVoucherLedger(folder.path)
  const verdict = judgeVoucher(voucher, digest, {
    serial: board.serial,
    idevidIssuer: issuerIdentifier(board.leaf),
    ...(nonce && { nonce }),
    ...(before && { accepted: before }),
    floor: wallTime(Math.max(floors.time.floor, board.leaf.notBefore)),
  })
  const [root] = decodePem('CERTIFICATE', (await folder.certificates())?.root ?? '')
  const isLeft = verdict === 'new' || before?.stage === 'leaving'
  const isHome = root !== undefined && isOneFleet(root, voucher.pinnedDomainCert, suite)
  const ledger: VoucherLedger = { createdOn: voucher.createdOn, digest, stage: 'leaving', voucher: der }
  if (isHome || (root !== undefined && !isLeft)) {
    if (isHome && verdict === 'new') await takePlaces(folder, voucher)
    if (before?.digest !== digest || before.stage !== 'enrolled')
      await writeVoucherLedger(folder.path, { ...ledger, stage: 'enrolled' })
    return 'kept'
  }
  await withOwner(voucher, ports, async (https) => {
    await eachUrl(voucher, https, (server) => fetchEnrolmentKey(server))
    checkStillHolds(voucher, https.provenTime ?? wallTime(0))
    if (isLeft) {
      await writeVoucherLedger(folder.path, ledger)
      await leaveFleet(folder)
      await writeVoucherLedger(folder.path, { ...ledger, stage: 'enrolling' })
    }
    floors.raiseTime(voucher.createdOn)
    await enrolAt(voucher, https, ports)
  })
  await writeVoucherLedger(folder.path, { ...ledger, stage: 'enrolled' })
  return 'enrolled'
}

/** An owner's roots follow one another: the voucher may pin one of before, and the board be at one that came after. */
const isOneFleet = (one: Uint8Array, other: Uint8Array, suite: Suite): boolean =>
  equalPublic(fleetIdOf(parseCertificate(one), suite), fleetIdOf(parseCertificate(other), suite))

/** Its owner may have moved. */
async function takePlaces(folder: StateFolder, { api, addresses }: Voucher): Promise<void> {
  const record = await folder.record()
  if (record === undefined) return
  const literal = addresses && Object.fromEntries(api.map((url) => [new URL(url).hostname, addresses]))
  await folder.saveRecord({ ...record, api, ...(literal && { addresses: { ...record.addresses, ...literal } }) })
}

/** With the IDevID, to nobody but the holder of what the voucher pins. */
async function withOwner(voucher: Voucher, ports: OwnerPorts, work: (https: HttpsClient) => Promise<void>): Promise<void> {
  const { board, floors, suite, proxy } = ports
  const https = new HttpsClient({
    suite,
    trust: { rootDer: voucher.pinnedDomainCert },
    ...boardProof(board),
    time: () => wallTime(Math.max(floors.time.floor, board.leaf.notBefore)),
    lastGoodAddresses: () => voucher.addresses ?? [],
    proxy,
  })
  try {
    await work(https)
  } finally {
    https.close()
  }
}

/** Keys of a device that was revoked never come back: the board makes new ones, once. */
async function enrolAt(voucher: Voucher, https: HttpsClient, ports: OwnerPorts): Promise<void> {
  try {
    await request(voucher, https, ports)
  } catch (error) {
    if (!isAditError(error) || error.code !== 'revoked') throw error
    await leaveFleet(ports.folder)
    await request(voucher, https, ports)
  }
}

async function request(voucher: Voucher, https: HttpsClient, { folder, board, suite, pkcs11 }: OwnerPorts): Promise<void> {
  const keys = await folder.makeKeys(suite, pkcs11)
  const wish = { keys, name: board.serial, first: true }
  const chain = await eachUrl(voucher, https, (server) => requestCertificate(server, wish, suite))
  const { api, addresses, fleetKey } = voucher
  const root = await rootsOf(voucher, https, suite)
  await takeIdentity(folder, { chain, root, api, addresses, fleetKey }, suite, pkcs11)
}

/** PEM of the roots that the owner trusts now, as far as the one that the voucher pins leads to them: it may have been retired since. */
async function rootsOf({ api, pinnedDomainCert }: Voucher, https: HttpsClient, suite: Suite): Promise<string> {
  const told = await new BrokerApi(https, api).rootSuccession()
  const roots = rootsToTrust([pinnedDomainCert], told, https.provenTime ?? wallTime(0), suite)
  return (roots?.map(({ der }) => der) ?? [pinnedDomainCert]).map((der) => encodePem('CERTIFICATE', der)).join('')
}

const eachUrl = <T>(
  { api }: Voucher,
  https: Requester,
  ask: (server: { https: Requester; url: string; timeoutMs: number }) => Promise<T>,
): Promise<T> => firstThatAnswers(api, (url) => ask({ https, url, timeoutMs }))
