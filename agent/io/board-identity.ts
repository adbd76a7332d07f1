import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { IdentityKey } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Idevid, judgeIdevid } from '#shared/enrolment/idevid.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, isSelfIssued, parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { readIfPresent, removeDurably, writeDurably } from '#shared/platform/files.ts'
import type { HttpsClientOptions } from '#shared/platform/tls.ts'
import { wallTime } from '#shared/time/instant.ts'
import { type BoardKey, boardKeyFiles, readBoardKey } from './board-key.ts'

/** Names inside the state folder of a board that its maker has given an IDevID. No owner's leaving touches them. */
export const boardFiles = {
  ...boardKeyFiles,
  /** PEM: the IDevID, then its issuer. */
  chain: 'idevid.pem',
  /** PEM: the maker's root, under which vouchers are believed. */
  factory: 'factory.pem',
  /** Which voucher the board follows, twice (`voucher-ledger.ts`). */
  ledger: 'voucher.json',
  ledgerCopy: 'voucher.json.bak',
} as const

/** Who a board is to its maker: IDevID with its key, and the maker's root. */
export interface BoardIdentity extends Idevid, BoardKey {
  /** PEM, leaf first, without the root. */
  readonly chainPem: string
  /** DER of what stands between leaf and root. */
  readonly issuers: readonly Uint8Array[]
}

/** Whether a maker has given the board in that state folder an IDevID; looks only. */
export const isBoardFolder = (path: string): boolean => existsSync(join(path, boardFiles.chain))

/** Undefined where no maker has been here. Throws AditError `storage-failed` where what lies there does not fit together. */
export async function readBoardIdentity(path: string, suite: Suite): Promise<BoardIdentity | undefined> {
  const chain = await readIfPresent(join(path, boardFiles.chain))
  const root = await readIfPresent(join(path, boardFiles.factory))
  if (!chain || !root) return undefined
  const held = await readBoardKey(path, suite)
  if (held === undefined) return undefined
  const identity = judged(text(chain) + text(root), path)
  if (!isKeyOf(held.key, identity.leaf)) throw unfit(path, 'the key is not that of the certificate')
  return { ...identity, ...held, chainPem: text(chain) }
}

/** How a board shows its IDevID over TLS: in the handshake by a key in a file, on the channel by one in a token. */
export function boardProof(board: BoardIdentity): Pick<HttpsClientOptions, 'identity' | 'channelIdentity'> {
  const { key, keyPem, chainPem, leaf, issuers } = board
  if (keyPem !== undefined) return { identity: { key: keyPem, chain: chainPem } }
  return { channelIdentity: { key, chain: [leaf.der, ...issuers] } }
}

/**
 * `bundle`: PEM of the IDevID, its issuer and the maker's root; the key is in the folder already. The IDevID is written last: with it the
 * board is one. Throws AditError `factory-refused`.
 */
export async function installIdevid(path: string, bundle: string, suite: Suite): Promise<Idevid> {
  const identity = judged(bundle, path)
  const held = await readBoardKey(path, suite)
  if (held === undefined || !isKeyOf(held.key, identity.leaf))
    throw unfit(path, 'the certificate is for another key than the one that is there')
  const before = await readBoardIdentity(path, suite)
  if (before && before.factory.subjectKey !== identity.factory.subjectKey) throw unfit(path, 'it is of another maker already')
  const issued = [identity.leaf.der, ...identity.issuers].map((der) => encodePem('CERTIFICATE', der)).join('')
  await removeDurably(join(path, boardFiles.chain))
  await writeDurably(join(path, boardFiles.factory), encodePem('CERTIFICATE', identity.factory.der))
  await writeDurably(join(path, boardFiles.chain), issued)
  return identity
}

/** Makers' certificates do not end, and a board has no clock: judged at the moment in which the latest of them begins. */
function judged(bundle: string, path: string): Idevid & { issuers: readonly Uint8Array[] } {
  try {
    const certificates = decodePem('CERTIFICATE', bundle).map(parseCertificate)
    const [root] = certificates.filter(isSelfIssued)
    const issued = certificates.filter((one: Certificate) => !isSelfIssued(one)).map(({ der }) => der)
    if (root === undefined) throw new PkiError('issuer-unknown', 'the maker’s root is not there')
    const now = wallTime(certificates.reduce((time, { notBefore }) => Math.max(time, notBefore), 0))
    return { ...judgeIdevid(issued, [root], now), issuers: issued.slice(1) }
  } catch (error) {
    if (error instanceof PkiError) throw unfit(path, error.message, error)
    throw error
  }
}

const isKeyOf = (key: IdentityKey, { publicKey }: Certificate): boolean =>
  publicKey.kind === 'p256' && Buffer.compare(publicKey.point, key.publicKey) === 0

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

const unfit = (path: string, why: string, cause?: unknown): AditError =>
  new AditError(
    'factory-refused',
    `The IDevID for ${path} cannot be used: ${why}.`,
    'Ask the maker of the board for one: adit-agent idevid request.',
    { cause },
  )
