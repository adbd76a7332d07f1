import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { isNameWithin } from '#shared/enrolment/delegation.ts'
import { LineAccount } from '#shared/enrolment/line-account.ts'
import { damaged, decodeEntry, firstHead, isSealOf, type LedgerEntry, nextHead } from '#shared/enrolment/station-ledger.ts'
import { isAditError } from '#shared/errors.ts'
import { type Certificate, isSignedBy, parseCertificate } from '#shared/pki/certificate.ts'
import { verifyChain } from '#shared/pki/chain.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { names, purposes, rolePurposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { wallTime } from '#shared/time/instant.ts'

export interface ProofParts {
  /** SPKI DER of the station's identity key, and the key itself, 65 bytes. */
  readonly spki: Uint8Array
  readonly publicKey: Uint8Array
  /** Those of the fleet that this station trusts. */
  readonly roots: readonly Certificate[]
  /** The device CA of the fleet, and whatever else may stand between a leaf and the root. */
  readonly issuers: readonly Certificate[]
  readonly suite: Suite
}

export interface StoredLedger {
  readonly entries: readonly { readonly number: number; readonly body: Uint8Array; readonly hash: Uint8Array }[]
  readonly seals: readonly { readonly number: number; readonly signature: Uint8Array }[]
  /** Units whose keys are still here. */
  readonly secrets: readonly string[]
}

/** What was proven. */
export interface LedgerProof {
  readonly entries: number
  readonly seals: number
  readonly units: number
  readonly certificates: number
  readonly delivered: number
  readonly scrapped: number
}

/**
 * Proves a ledger: that each entry follows the one before it, that the station sealed the chain to its end, that the entries add up,
 * that each certificate is by our CA, for the name of its unit and within the delegation, and that each delivered unit has exactly one and
 * no keys left here. Throws AditError `ledger-damaged`, which names the first entry that is wrong.
 */
export function proveLedger({ entries, seals, secrets }: StoredLedger, parts: ProofParts): LedgerProof {
  const { suite, spki, publicKey } = parts
  const account = new LineAccount()
  const sealAt = new Map(seals.map(({ number, signature }) => [number, signature]))
  const serials = new Set<string>()
  let head = firstHead(spki, suite)
  let sealed = 0
  for (const { number, body, hash } of entries) {
    head = nextHead(head, body, suite)
    if (number !== head.number) throw damaged(`entry ${head.number} is missing`)
    if (!equalPublic(hash, head.hash)) throw damaged(`entry ${number} does not follow the one before it`)
    at(number, () => takeEntry(decodeEntry(body), account, serials, parts))
    const signature = sealAt.get(number)
    if (signature === undefined) continue
    if (!isSealOf(head, signature, publicKey, suite)) throw damaged(`the seal at entry ${number} is not this station's`)
    sealed = number
  }
  if (sealed !== head.number) throw damaged(`entries ${sealed + 1} to ${head.number} are under no seal`)
  if (seals.some(({ number }) => number > head.number)) throw damaged(`entries behind ${head.number} are missing`)
  for (const unit of secrets)
    if (account.unit(unit)?.state === 'delivered') throw damaged(`the keys of ${unit}, which was delivered, are still here`)
  const { delivered, scrapped, certificates, opened: units } = account.counts
  return { entries: head.number, seals: seals.length, units, certificates, delivered, scrapped }
}

function takeEntry(entry: LedgerEntry, account: LineAccount, serials: Set<string>, parts: ProofParts): void {
  account.add(entry)
  if (entry.kind === 'delegated') checkCa(account.delegation?.certificate, parts)
  if (entry.kind !== 'issued') return
  const { delegation } = account
  if (delegation === undefined) throw damaged('a certificate before any delegation')
  const issuers = entry.by === 'station' ? [delegation.certificate] : []
  const leaf = verified(entry.certificate, issuers, parts)
  if (entry.by === 'station' && leaf.issuerKey !== delegation.certificate.subjectKey) throw damaged('a certificate by another CA')
  const name = valuesOf(leaf.subjectName, names.commonName)[0] ?? ''
  if (name !== account.unit(entry.unit)?.name) throw damaged(`a certificate for ${name}, which is not the name of ${entry.unit}`)
  if (!isNameWithin(delegation.scope, name)) throw damaged(`a certificate for ${name}, which is outside the delegation`)
  if (serials.has(leaf.serialHex)) throw damaged(`the certificate ${leaf.serialHex} twice`)
  serials.add(leaf.serialHex)
  if (account.counts.certificates > delegation.scope.quota) throw damaged('more certificates than the delegation allows')
}

/** The rest of its path is judged with each leaf that it signed. */
function checkCa(ca: Certificate | undefined, { issuers }: ProofParts): void {
  const issuer = issuers.find(({ subjectKey }) => subjectKey === ca?.issuerKey)
  if (!ca || !issuer || !isSignedBy(ca, issuer)) throw damaged("a CA that the fleet's device CA did not sign")
}

/** At the moment of its making: ledgers are read for years. */
function verified(der: Uint8Array, between: readonly Certificate[], { roots, issuers }: ProofParts): Certificate {
  try {
    const certificate = parseCertificate(der)
    verifyChain(certificate, [...between, ...issuers], {
      anchors: roots,
      now: wallTime(certificate.notBefore),
      purposes: [purposes.clientAuth, rolePurposes.device],
      keyUsage: KeyUsage.digitalSignature,
      maxDepth: 2,
    })
    return certificate
  } catch (error) {
    if (error instanceof PkiError) throw damaged(`a certificate that is not by our CA (${error.message})`)
    throw error
  }
}

function at(number: number, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (isAditError(error) && error.code === 'ledger-damaged')
      throw damaged(`${error.message.replace(/^The ledger is damaged: |\.$/g, '')}, at entry ${number}`)
    throw error
  }
}
