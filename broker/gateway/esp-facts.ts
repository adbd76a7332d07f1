import { formatProposal } from '#shared/ikev2/proposal.ts'
import { selectorTexts } from '#shared/ikev2/selector-text.ts'
import { type Clock, elapsed } from '#shared/time/instant.ts'
import type { EspAssociation } from '#shared/tunnel/esp-association.ts'
import type { EspSession } from '#shared/tunnel/esp-session.ts'
import { Esn, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'

/** What an association of the esp suite stands on, in words. */
export interface EspFacts {
  /** What was agreed for IKE, as strongSwan writes it: `aes256gcm16-prfsha256-x25519`. */
  readonly ike: string | undefined
  readonly childSas: readonly ChildSaFacts[]
}

export interface ChildSaFacts {
  /** Eight hex digits each; inbound is ours. */
  readonly inboundSpi: string
  readonly outboundSpi: string
  /** `aes256gcm16-esn`. */
  readonly esp: string
  /** What it carries: what lies behind us, and behind the peer. */
  readonly local: readonly string[]
  readonly remote: readonly string[]
  readonly ageSeconds: number
  /** Outer packets and bytes, both directions. */
  readonly packets: number
  readonly bytes: number
}

export function espFacts(association: EspAssociation, clock: Clock): EspFacts {
  const proposal = association.ike?.sa.proposal
  return {
    ike: proposal && formatProposal(proposal),
    childSas: [...association.sessions].map((session) => childSa(session, clock)),
  }
}

function childSa(session: EspSession, clock: Clock): ChildSaFacts {
  const { inboundSpi, outboundSpi, gate, createdAt, packets, bytes } = session
  return {
    inboundSpi: spiText(inboundSpi),
    outboundSpi: spiText(outboundSpi),
    esp: suiteText(session),
    local: selectorTexts(gate.local),
    remote: selectorTexts(gate.remote),
    ageSeconds: Math.round(elapsed(createdAt, clock.now()) / 1_000),
    packets,
    bytes,
  }
}

function suiteText({ algorithms: { encryption, keyLength, integrity }, esn }: EspSession): string {
  const transforms = [
    { type: TransformType.Encryption, id: encryption, ...(keyLength !== undefined && { keyLength }) },
    ...(integrity === 0 ? [] : [{ type: TransformType.Integrity, id: integrity }]),
    { type: TransformType.Esn, id: esn ? Esn.Yes : Esn.No },
  ]
  return formatProposal({ number: 1, protocol: ProtocolId.Esp, spi: new Uint8Array(), transforms })
}

const spiText = (spi: number): string => (spi >>> 0).toString(16).padStart(8, '0')
