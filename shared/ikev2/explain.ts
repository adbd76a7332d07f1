import { type Circumstance, failureRecord, limits, type Stage, wordsOf } from '#shared/ikev2/failure-record.ts'
import { idText } from '#shared/ikev2/identity.ts'
import { nearestProposal } from '#shared/ikev2/nearest-proposal.ts'
import type { NegotiationCode, NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import { nameOfNotify } from '#shared/ikev2/notify.ts'
import { extended } from '#shared/ikev2/own-words.ts'
import type { Refusal } from '#shared/ikev2/peer-policy.ts'
import { formatProposal } from '#shared/ikev2/proposal.ts'
import type { ProposalMismatch } from '#shared/ikev2/select-proposal.ts'
import { selectorTexts } from '#shared/ikev2/selector-text.ts'
import { narrow, type SelectorPair } from '#shared/ikev2/traffic-selectors.ts'
import { formatDuration } from '#shared/time/duration-text.ts'
import type { Duration } from '#shared/time/instant.ts'
import { NotifyType, ProtocolId } from '#shared/wire/ike-numbers.ts'

/**
 * Failed negotiations in words (DESIGN D15): what happened, and the one line to change here or there. The line for the other end is
 * swanctl.conf's, the line for this end its own. Authentication has a file of its own, `explain-authentication.ts`.
 */

/** Which line of swanctl.conf holds proposals of that protocol. */
const line = (protocol: number, value: string): string =>
  protocol === ProtocolId.Ike
    ? `in swanctl.conf, connections.adit: proposals = ${value}`
    : `in swanctl.conf, connections.adit.children.adit: esp_proposals = ${value}`

/** Nothing that the peer offers is allowed. */
export function explainMismatch(stage: Stage, mismatch: ProposalMismatch, at: Circumstance): NegotiationFailure {
  const { protocol } = mismatch
  const nearest = nearestProposal(mismatch)
  const what = protocol === ProtocolId.Ike ? 'IKE' : 'ESP'
  const allowed = mismatch.allowed.map(formatProposal)
  const record = { offered: mismatch.offered.slice(0, limits.lines).map(formatProposal), allowed }
  if (nearest === undefined)
    return failureRecord(stage, 'no-proposal-chosen', at, {
      ...record,
      message: `no proposal chosen: ${allowed.length === 0 ? 'nothing is allowed here' : 'the peer offers nothing'} for ${what}`,
      mendHere: wordsOf(at).proposals(protocol, ['default']),
      mendThere: line(protocol, protocol === ProtocolId.Ike ? 'aes256gcm16-prfsha256-x25519' : 'aes256gcm16-x25519'),
    })
  const because = nearest.refusals.map((refusal) => `; ${refusal}`).join('')
  return failureRecord(stage, 'no-proposal-chosen', at, {
    ...record,
    nearest: { offered: nearest.offered, allowed: nearest.allowed, differs: nearest.differs },
    message: `no proposal chosen for ${what}: offered ${nearest.offered}, nearest allowed ${nearest.allowed}, differs: ${nearest.differs}${because}`,
    mendHere:
      nearest.adoptable === undefined
        ? 'nothing: what the peer offers is never taken, whatever the configuration allows'
        : wordsOf(at).proposals(protocol, extended(mismatch.allowed, protocol, nearest.adoptable)),
    mendThere: line(protocol, nearest.allowed),
  })
}

/** Nothing that the peer asks for lies within what it may have. Seen from this end: local is ours. */
export function explainSelectors(
  stage: Stage,
  offered: SelectorPair,
  allowed: SelectorPair,
  at: Circumstance,
): NegotiationFailure {
  const asked = { local: selectorTexts(offered.local), remote: selectorTexts(offered.remote) }
  const may = { local: selectorTexts(allowed.local), remote: selectorTexts(allowed.remote) }
  const show = ({ local, remote }: typeof asked): string => `${listed(remote)} === ${listed(local)}`
  // A broker narrows what is behind it anyway, and nobody wants to write down a hundred networks.
  const reach = may.local.length > listLimit ? ['0.0.0.0/0', '::/0'] : may.local
  const hasOwn = narrow(offered.remote, allowed.remote).length > 0
  const isReachable = narrow(offered.local, allowed.local).length > 0
  return failureRecord(stage, 'selectors-unacceptable', at, {
    offered: [...asked.remote.map((text) => `peer ${text}`), ...asked.local.map((text) => `here ${text}`)],
    allowed: [...may.remote.map((text) => `peer ${text}`), ...may.local.map((text) => `here ${text}`)],
    message: `traffic selectors are unacceptable: the peer asks for ${show(asked)}, it may have ${show(may)}`,
    mendHere: hasOwn && !isReachable ? wordsOf(at).destinations(asked.local) : wordsOf(at).selectors(asked.remote),
    mendThere: `in swanctl.conf, connections.adit.children.adit: local_ts = ${may.remote.join(', ')}; remote_ts = ${reach.join(', ')}`,
  })
}

/** Networks named in one sentence at most. */
const listLimit = 6

function listed(texts: readonly string[]): string {
  if (texts.length === 0) return 'nothing'
  const more = texts.length - listLimit
  return more > 0 ? `${texts.slice(0, listLimit).join(', ')} and ${more} more` : texts.join(', ')
}

/** What an error notification of the peer means to the person who reads it here. */
interface PeerWord {
  readonly code: NegotiationCode
  readonly meaning: string
  readonly here: string
  readonly there: string
}

const theirLog = 'the log of the peer says why (journalctl -u strongswan; at an adit broker: adit-broker negotiations)'

const peerWords: Readonly<Record<number, PeerWord>> = {
  [NotifyType.NoProposalChosen]: {
    code: 'no-proposal-chosen',
    meaning: 'it allows nothing that we offered',
    here: 'offer what the peer allows',
    there: 'allow one of our proposals: proposals or esp_proposals in swanctl.conf',
  },
  [NotifyType.InvalidKePayload]: {
    code: 'invalid-key-exchange',
    meaning: 'it wants another group than any that we offered',
    here: 'offer the group that the peer wants',
    there: 'allow one of our groups: proposals in swanctl.conf',
  },
  [NotifyType.AuthenticationFailed]: {
    code: 'peer-refused-us',
    meaning: 'it did not believe our proof, or does not know us; outwardly no peer says more',
    here: 'our certificate, or pre-shared key, must be one that the peer trusts, and our identity the one that it expects',
    there: `remote.id, remote.cacerts or secrets in swanctl.conf; ${theirLog}`,
  },
  [NotifyType.TsUnacceptable]: {
    code: 'selectors-unacceptable',
    meaning: 'it allows none of the addresses that we asked for',
    here: 'ask for what the peer has behind it',
    there: 'local_ts and remote_ts in swanctl.conf must overlap what we ask for',
  },
  [NotifyType.InternalAddressFailure]: {
    code: 'peer-refused-us',
    meaning: 'it has no inner address for us',
    here: 'do not ask for an inner address',
    there: 'pools in connections.adit of swanctl.conf must have a free address',
  },
  [NotifyType.FailedCpRequired]: {
    code: 'peer-refused-us',
    meaning: 'it demands that we ask for an inner address',
    here: 'ask for an inner address',
    there: 'let us in without a virtual address',
  },
  [NotifyType.NoAdditionalSas]: {
    code: 'peer-refused-us',
    meaning: 'it has no room for another Child SA',
    here: 'nothing: the association is begun anew when its lifetime ends',
    there: 'allow more than one Child SA at once, for rekeying',
  },
  [NotifyType.InvalidSyntax]: {
    code: 'syntax',
    meaning: 'it could not read our message',
    here: 'this may be a defect in adit: please report it with the log of the peer',
    there: theirLog,
  },
  [NotifyType.UnsupportedCriticalPayload]: {
    code: 'critical-payload',
    meaning: 'it does not know a payload that we called indispensable',
    here: 'this may be a defect in adit: please report it with the log of the peer',
    there: theirLog,
  },
  [NotifyType.InvalidMajorVersion]: {
    code: 'peer-refused-us',
    meaning: 'it does not speak IKEv2',
    here: 'nothing: IKEv1 is not spoken here',
    there: 'version = 2 in connections.adit of swanctl.conf',
  },
  [NotifyType.UnexpectedNatDetected]: {
    code: 'peer-refused-us',
    meaning: 'it refuses peers behind a NAT',
    here: 'nothing: ESP always goes in UDP here',
    there: 'do not forbid NAT',
  },
}

/** The peer refused with an error notification; what we had proposed stands beside it as far as it bears on the refusal. */
export function explainRefusal(stage: Stage, notify: number, at: Circumstance): NegotiationFailure {
  const word = peerWords[notify]
  const offered = proposed(stage, word?.code, at)
  const list = offered.length === 0 ? '' : ` (${offered.join(', ')})`
  return failureRecord(stage, word?.code ?? 'peer-refused-us', at, {
    offered,
    message: `the peer answered ${nameOfNotify(notify)}: ${word?.meaning ?? 'its log says why'}${list}`,
    mendHere: word?.here ?? 'nothing that is known',
    mendThere: word?.there ?? theirLog,
  })
}

function proposed(stage: Stage, code: NegotiationCode | undefined, { context, childPolicy }: Circumstance): string[] {
  if (code === 'selectors-unacceptable' && childPolicy !== undefined) {
    const here = selectorTexts(childPolicy.localSelectors).map((text) => `here ${text}`)
    return [...here, ...selectorTexts(childPolicy.remoteSelectors).map((text) => `peer ${text}`)]
  }
  if (code !== 'no-proposal-chosen' && code !== 'invalid-key-exchange') return []
  const forChild = stage === 'child' || stage === 'auth'
  return ((forChild ? childPolicy?.proposals : context?.proposals) ?? []).map(formatProposal)
}

/** The peer's answer is not one that we may take. `why`: the end of a sentence. */
export function explainUnusable(stage: Stage, why: string, at: Circumstance): NegotiationFailure {
  return failureRecord(stage, 'syntax', at, {
    message: `the peer's answer cannot be used: ${why}`,
    mendHere: 'nothing: no setting makes such an answer safe',
    mendThere: "the peer's program breaks the protocol here: update it",
  })
}

/** A message that breaks the rules of its format; `why`: what the decoder says. */
export function explainSyntax(stage: Stage, why: string, at: Circumstance): NegotiationFailure {
  return failureRecord(stage, 'syntax', at, {
    message: `a message of the peer cannot be read: ${why}`,
    mendHere: 'nothing: a message of another form is not IKEv2',
    mendThere:
      "version = 2 in connections.adit of swanctl.conf; if it says so already, the peer's program is at fault: update it",
  })
}

/** A payload of unknown type that the peer called critical (RFC 7296 §2.5). */
export function explainCritical(stage: Stage, payload: number, at: Circumstance): NegotiationFailure {
  return failureRecord(stage, 'critical-payload', at, {
    message: `the peer demands that payload type ${payload} is understood, which is not known here`,
    mendHere: 'nothing: this version of adit does not know the extension',
    mendThere: 'turn off the extension that the payload belongs to',
  })
}

/** Nobody answered. */
export function explainTimeout(stage: Stage, silence: Duration, attempts: number, at: Circumstance): NegotiationFailure {
  const where = at.endpoint === undefined ? 'the peer' : `${at.endpoint.address} port ${at.endpoint.port}`
  return failureRecord(stage, 'timeout', at, {
    message: `no answer from ${where} in ${formatDuration(silence)}, asked ${attempts} times`,
    mendHere: 'address and port of the peer must be right, and UDP may leave this network: try adit why, or another network',
    mendThere: 'the IKE program must run there, and its firewall let UDP 4500 in (and 500, where bare IKE is spoken)',
  })
}

/** The peer let go of an SA before we renewed it: its lifetime is shorter than ours (IKEv2 does not negotiate lifetimes, RFC 7296 §2.8). */
export function explainLifetime(
  what: 'IKE SA' | 'Child SA',
  held: Duration,
  renewAfter: Duration,
  at: Circumstance,
): NegotiationFailure {
  const seconds = Math.round(renewAfter / 1_000)
  const [section, rekey, life] =
    what === 'IKE SA'
      ? ['connections.adit', 'rekey_time', 'over_time']
      : ['connections.adit.children.adit', 'rekey_time', 'life_time']
  return failureRecord('rekey', 'lifetime', at, {
    offered: [formatDuration(held)],
    allowed: [formatDuration(renewAfter)],
    message: `the peer ended the ${what} after ${formatDuration(held)}, before it was to be renewed after ${formatDuration(renewAfter)}`,
    mendHere: `a lifetime of the ${what} below ${formatDuration(held)}`,
    mendThere: `in swanctl.conf, ${section}: ${rekey} = ${seconds}s; ${life} = ${Math.round(seconds * (what === 'IKE SA' ? 0.1 : 1.1))}s`,
  })
}

/** The owner would not let an authenticated peer in. */
export function explainOwnerRefusal(refusal: Refusal, at: Circumstance): NegotiationFailure {
  const who = at.peer === undefined ? 'the peer' : idText(at.peer.id)
  return failureRecord('auth', 'refused', at, {
    message: `${who} is not let in: ${refusal.refused}`,
    mendHere: refusal.mendHere === '' ? wordsOf(at).enlist : refusal.mendHere,
    mendThere: refusal.mendThere === '' ? 'nothing: the other end decides' : refusal.mendThere,
  })
}
