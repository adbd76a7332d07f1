import type { IpsecConfig } from '#broker/config.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { formatProposal, parseProposal } from '#shared/ikev2/proposal.ts'
import { Esn, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Proposal, Transform } from '#shared/wire/ike-payload/payload.ts'

/** What one peer is held to. */
export interface PeerSuites {
  /** What its registry entry says, as text; empty: whatever the broker allows. */
  readonly ike: readonly string[]
  readonly esp: readonly string[]
  /** What is written into its files: the first choice of each. */
  readonly offeredIke: readonly Proposal[]
  readonly offeredEsp: readonly Proposal[]
}

type Allowed = Pick<IpsecConfig, 'ikeProposals' | 'espProposals'>

/**
 * `suites`: IKE proposals in strongSwan's words; ESP takes the same without the PRF, unless `esp` says otherwise. What a peer's entry names
 * is allowed by that, also what is off for everybody else (GMAC, NULL). Throws AditError `usage`.
 */
export function peerSuites(suites: readonly string[], esp: readonly string[], allowed: Allowed): PeerSuites {
  const ike = each(suites).map((text) => parsed(text, ProtocolId.Ike))
  const data = esp.length > 0 ? each(esp).map((text) => parsed(text, ProtocolId.Esp)) : ike.map(espOf)
  return {
    ike: ike.map(formatProposal),
    esp: data.map(formatProposal),
    offeredIke: (ike.length > 0 ? ike : allowed.ikeProposals).map(firstChoice),
    offeredEsp: (data.length > 0 ? data : allowed.espProposals).map(firstChoice),
  }
}

/** A line of swanctl.conf may have several, with commas between. */
const each = (texts: readonly string[]): string[] => texts.flatMap((text) => text.split(','))

function parsed(text: string, protocol: number): Proposal {
  try {
    return parseProposal(text, protocol)
  } catch (error) {
    if (!isAditError(error)) throw error
    throw new AditError('usage', error.message, error.mend, { cause: error })
  }
}

/** The ESP proposal of the same ciphers and groups. */
function espOf(ike: Proposal): Proposal {
  const words = formatProposal({ ...ike, transforms: ike.transforms.filter(({ type }) => type !== TransformType.Prf) })
  try {
    return parseProposal(words, ProtocolId.Esp)
  } catch (error) {
    if (!isAditError(error)) throw error
    throw new AditError('usage', error.message, `Say beside it what ESP is to use: --esp aes256-sha256-x25519.`, { cause: error })
  }
}

/** One transform of each type, so that a person reads what will be used; without ESN where that is allowed, since not every peer has it. */
function firstChoice(proposal: Proposal): Proposal {
  const firsts = new Map<number, Transform>()
  for (const transform of proposal.transforms) {
    const plain = transform.type === TransformType.Esn && transform.id === Esn.No
    if (!firsts.has(transform.type) || plain) firsts.set(transform.type, transform)
  }
  return { ...proposal, transforms: [...firsts.values()] }
}
