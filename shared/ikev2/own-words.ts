import { formatProposals } from '#shared/ikev2/proposal.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { Proposal } from '#shared/wire/ike-payload/payload.ts'

/** How one end's settings are called, for the line that says what to change at this end. */
export interface OwnWords {
  /** The line that makes these proposals the allowed ones. `protocol`: ProtocolId.Ike or .Esp. */
  proposals(protocol: number, proposals: readonly string[]): string
  /** How what lies behind a peer is said; `cidrs` are what it asked for. */
  selectors(cidrs: readonly string[]): string
  /** How it comes about that something lies behind this end for the peer to ask for; `cidrs` are what it asked for. */
  destinations(cidrs: readonly string[]): string
  /** How a peer gets a certificate that is believed here. */
  certificate: string
  /** How a peer gets a pre-shared key, or another one. */
  sharedKey: string
  /** How a peer is made known at all. */
  enlist: string
  /** How our own proof or identity is changed. */
  identity: string
}

const listText = (values: readonly string[]): string => `[${values.map((value) => JSON.stringify(value)).join(', ')}]`

const subnets = (cidrs: readonly string[]): string => cidrs.map((cidr) => `--subnet ${cidr}`).join(' ')

/** DATA/config.toml of the broker, and its command line. */
export const brokerWords: OwnWords = {
  proposals: (protocol, proposals) =>
    `in the broker's config.toml, section [ipsec]: ${protocol === ProtocolId.Ike ? 'ike' : 'esp'}-proposals = ${listText(proposals)}`,
  selectors: (cidrs) => `adit-broker device add --ipsec … ${subnets(cidrs)}`,
  destinations: (cidrs) => `adit-broker device add --ipsec --name SITE ${subnets(cidrs)} --out FOLDER adds the peer that has it`,
  certificate: 'adit-broker device add --ipsec --name NAME --out FOLDER writes a certificate that is believed here',
  sharedKey: 'adit-broker device add --ipsec --name NAME --psk generate --out FOLDER writes a key that both ends have',
  enlist: 'adit-broker device add --ipsec --name NAME --out FOLDER makes a peer known, with everything that it needs',
  identity: "in the broker's config.toml, section [ipsec]: id = the name that the peer expects",
}

/** The agent has no settings of its own for these: its broker decides. */
export const agentWords: OwnWords = {
  proposals: (_protocol, proposals) => `nothing: this agent is built with the proposals ${proposals.join(', ')}`,
  selectors: () => 'nothing: the broker tells the agent which addresses are its own',
  destinations: () => 'nothing: an agent has its own addresses alone',
  certificate: "adit-agent enrol --claim - takes the trust and the certificate of the agent's broker anew",
  sharedKey: 'nothing: an agent proves itself by its certificate',
  enlist: 'adit-agent enrol --claim - makes this agent known to its broker',
  identity: "nothing: the agent's certificate names it",
}

/** The allowed proposals with one more at their end, as a setting writes them. */
export const extended = (allowed: readonly Proposal[], protocol: number, addition: string): string[] => [
  ...formatProposals(allowed, protocol),
  addition,
]
