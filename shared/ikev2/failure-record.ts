import { idText } from '#shared/ikev2/identity.ts'
import type { NegotiationCode, NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import { brokerWords, type OwnWords } from '#shared/ikev2/own-words.ts'
import type { AuthenticatedPeer, ChildPolicy } from '#shared/ikev2/peer-policy.ts'
import { printable } from '#shared/terminal/printable.ts'
import { sentence } from '#shared/terminal/sentence.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { IkeId, Proposal } from '#shared/wire/ike-payload/payload.ts'

export type Stage = NegotiationFailure['stage']

/** Where a negotiation failed. An IKE SA's own state is one. */
export interface Circumstance {
  readonly endpoint: Endpoint | undefined
  /** Claimed, whether or not it was proven. */
  readonly claimedId?: IkeId | undefined
  readonly peer?: AuthenticatedPeer | undefined
  /** What this end offers and allows, and how its settings are called (the broker's where nothing is said). */
  readonly context?: { readonly proposals: readonly Proposal[]; readonly words?: OwnWords | undefined } | undefined
  readonly childPolicy?: Pick<ChildPolicy, 'proposals' | 'localSelectors' | 'remoteSelectors'> | undefined
}

/** What a failure of its kind adds. */
export interface Account {
  readonly message: string
  readonly mendHere: string
  readonly mendThere: string
  readonly offered?: readonly string[]
  readonly allowed?: readonly string[]
  readonly nearest?: NegotiationFailure['nearest']
}

/** Characters of each text, and lines of each list, at most: strangers fill them. */
export const limits = { text: 2_000, id: 256, line: 300, lines: 16 }

export function failureRecord(stage: Stage, code: NegotiationCode, at: Circumstance, account: Account): NegotiationFailure {
  const id = at.peer?.id ?? at.claimedId
  return {
    stage,
    code,
    from: at.endpoint,
    claimedId: id === undefined ? undefined : cut(idText(id), limits.id),
    offered: lines(account.offered),
    allowed: lines(account.allowed),
    nearest: account.nearest,
    message: sentence(cut(account.message, limits.text)),
    mendHere: cut(account.mendHere, limits.text),
    mendThere: cut(account.mendThere, limits.text),
  }
}

export const wordsOf = (at: Circumstance): OwnWords => at.context?.words ?? brokerWords

/** Text that may hold a stranger's: shown, never obeyed. */
function cut(text: string, limit: number): string {
  const shown = printable(text)
  return shown.length <= limit ? shown : `${shown.slice(0, limit)}…`
}

function lines(texts: readonly string[] = []): string[] {
  const shown = texts.slice(0, limits.lines).map((text) => cut(text, limits.line))
  return texts.length > limits.lines ? [...shown, `… ${texts.length - limits.lines} more`] : shown
}
