import type { LedgerStore } from '#agent/station/io/ledger-store.ts'
import type { BrokerView, StationBroker } from '#agent/station/io/station-broker.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import type { IdentityKey } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type LedgerHead, sealHead } from '#shared/enrolment/station-ledger.ts'
import { AditError } from '#shared/errors.ts'

/** Entries and bytes of one piece at most. */
const pieceEntries = 200
const pieceBytes = 400_000

export interface SyncResult {
  /** Entries that the broker has taken now, and all that it has. */
  readonly sent: number
  readonly entries: number
  /** Units that do not fit, as the broker shows them. */
  readonly conflicts: number
}

/**
 * Tells the broker what it does not know of the ledger, piece by piece. Interrupted anywhere it goes on from what the broker says that it
 * has; run twice, it does nothing the second time. Throws AditError `ledger-forked` where the broker knows another ledger than this.
 */
export async function syncLedger(
  ledger: LedgerStore,
  broker: Pick<StationBroker, 'view' | 'ledger'>,
  { identity, suite }: { identity: IdentityKey; suite: Suite },
  onProgress: (done: number, all: number) => void = () => {},
): Promise<SyncResult> {
  const start = await broker.view(ledger.head.number)
  let known = await agreed(ledger, start)
  await ledger.markSynced(known)
  while (known < ledger.head.number) {
    const piece = await nextPiece(ledger, known)
    const head: LedgerHead = piece.head
    const answer = await broker.ledger(known, piece.entries, sealHead(head, identity, suite))
    if (answer.number <= known) throw stuck(answer.number)
    known = await agreed(ledger, answer)
    await ledger.markSynced(known)
    onProgress(known, ledger.head.number)
  }
  const { conflicts } = known === start.number ? start : await broker.view(ledger.head.number)
  return { sent: known - start.number, entries: known, conflicts }
}

/** The number of the last entry that both have, which must be the same one. */
async function agreed(ledger: LedgerStore, { number, hash }: Pick<BrokerView, 'number' | 'hash'>): Promise<number> {
  if (number === 0) return 0
  const [entry] = await ledger.entries(number - 1, 1)
  if (entry === undefined || !equalPublic(entry.hash, fromHex(hash))) throw forked(number)
  return number
}

async function nextPiece(ledger: LedgerStore, after: number): Promise<{ entries: Uint8Array[]; head: LedgerHead }> {
  const entries: Uint8Array[] = []
  let bytes = 0
  let head: LedgerHead | undefined
  for (const { number, body, hash } of await ledger.entries(after, pieceEntries)) {
    bytes += body.length
    if (entries.length > 0 && bytes > pieceBytes) break
    entries.push(body)
    head = { number, hash }
  }
  if (head === undefined) throw new RangeError('nothing to send')
  return { entries, head }
}

const forked = (number: number): AditError =>
  new AditError(
    'ledger-forked',
    `The broker knows another entry ${number} than this ledger has: one of them is a copy that went its own way.`,
    'Bring back the newest copy of this folder; where that is lost, revoke this station and authorise another.',
  )

const stuck = (number: number): AditError =>
  new AditError('internal', `The broker does not go on behind entry ${number}.`, 'Try again: adit station sync')
