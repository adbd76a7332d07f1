import { AditError } from '#shared/errors.ts'
import { defectOf, isCombined, transformsOf } from '#shared/ikev2/proposal-rules.ts'
import { strongerWord } from '#shared/ikev2/stronger-word.ts'
import { integrities, named, nameOf, prfs, refusalOfName, toTransform } from '#shared/ikev2/transform.ts'
import { Esn, Integrity, KeyExchangeMethod, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Proposal, Transform } from '#shared/wire/ike-payload/payload.ts'

/**
 * Proposals in strongSwan's spelling, as `proposals` and `esp_proposals` of swanctl.conf have them: words joined by hyphens, several of one
 * type being alternatives in order of preference (`aes256-aes128-sha256-modp2048`). As there: an IKE proposal without a PRF takes the one
 * of its integrity algorithm, an integrity algorithm beside a combined-mode cipher only names the PRF, and an ESP proposal that says
 * nothing of ESN means `noesn`. A key exchange in an ESP proposal is perfect forward secrecy at each rekey; `modpnone` beside others lets
 * the peer leave it out.
 */
const noKeyExchange: Transform = { type: TransformType.KeyExchange, id: KeyExchangeMethod.None }
const noKeyExchangeWords: readonly string[] = ['modpnone', 'none']

/** `protocol`: ProtocolId.Ike or .Esp. Throws AditError `config-invalid` with the reason, and where there is one with a better spelling. */
export function parseProposal(text: string, protocol: number): Proposal {
  const words = text.trim().toLowerCase().split('-')
  if (protocol === ProtocolId.Ah) throw invalid(text, 'AH cannot cross a NAT and is not offered', 'Use ESP with aes256gmac.')
  const transforms = unique(words.map((word) => parseWord(word, words, text, protocol)))
  const proposal = completed({ number: 1, protocol, spi: new Uint8Array(), transforms })
  const defect = defectOf(proposal, protocol)
  if (defect !== undefined) throw invalid(text, defect, examples(protocol))
  return proposal
}

/**
 * A list as configuration gives it: each text one proposal, or several with commas between; `default` stands for all that we offer where
 * no policy says otherwise.
 */
export const parseProposals = (texts: readonly string[], protocol: number): Proposal[] =>
  texts
    .flatMap((text) => text.split(','))
    .flatMap((text) => (text.trim() === 'default' ? defaultProposals(protocol) : [parseProposal(text, protocol)]))

const defaultProposals = (protocol: number): readonly Proposal[] =>
  protocol === ProtocolId.Ike ? defaultIkeProposals : defaultEspProposals

/** The shortest list of which `parseProposals` makes the same. */
export function formatProposals(proposals: readonly Proposal[], protocol: number): string[] {
  const own = proposals.map(formatProposal)
  const standard = defaultProposals(protocol).map(formatProposal)
  return own.slice(0, standard.length).join() === standard.join() ? ['default', ...own.slice(standard.length)] : own
}

function parseWord(word: string, words: readonly string[], text: string, protocol: number): Transform {
  if (noKeyExchangeWords.includes(word) && protocol === ProtocolId.Esp) return noKeyExchange
  const known = named(word)
  if (known !== undefined) return toTransform(known)
  if (refusalOfName(word) === undefined)
    throw invalid(text, `nobody here knows ${JSON.stringify(word.slice(0, 40))}`, examples(protocol))
  const refused = words.flatMap((one) => refusalSentence(one) ?? [])
  const better = unique(words.map((one) => (refusalOfName(one) === undefined ? one : strongerWord(one, words))))
  throw invalid(text, refused.join('; '), `Write "${better.join('-')}".`)
}

function refusalSentence(word: string): string | undefined {
  const reason = refusalOfName(word)
  return reason === undefined ? undefined : `${word} is refused: ${reason}`
}

/** What strongSwan adds to a proposal and takes from it before it is used. */
function completed(proposal: Proposal): Proposal {
  const integrity = transformsOf(proposal, TransformType.Integrity)
  let transforms = [...proposal.transforms]
  if (proposal.protocol === ProtocolId.Ike && !transforms.some(({ type }) => type === TransformType.Prf))
    transforms.push(...prfsOf(integrity))
  const ciphers = transformsOf(proposal, TransformType.Encryption)
  if (ciphers.length > 0 && ciphers.every(isCombined))
    transforms = transforms.filter(({ type }) => type !== TransformType.Integrity)
  if (proposal.protocol === ProtocolId.Esp && !transforms.some(({ type }) => type === TransformType.Esn))
    transforms.push({ type: TransformType.Esn, id: Esn.No })
  return { ...proposal, transforms }
}

/** The PRF over the same hash as each integrity algorithm. */
function prfsOf(integrity: readonly Transform[]): Transform[] {
  const hashes = integrity.map(({ id }) => integrities.find((one) => one.id === id)?.hash)
  return prfs
    .filter((one) => hashes.includes(one.hash))
    .sort((a, b) => hashes.indexOf(a.hash) - hashes.indexOf(b.hash))
    .map(toTransform)
}

const order: readonly number[] = [
  TransformType.Encryption,
  TransformType.Integrity,
  TransformType.Prf,
  TransformType.KeyExchange,
  TransformType.Esn,
]

/** Words shown at most: a stranger may offer thousands. */
const wordLimit = 32

/** Texts of proposals that are held, as those of a policy are: it is told what it allows at each failure. */
const texts = new WeakMap<Proposal, string>()

/** The text of which `parseProposal` makes the same again; also of what strangers offer, with what is unknown given by number. */
export function formatProposal(proposal: Proposal): string {
  const text = texts.get(proposal) ?? compose(proposal)
  texts.set(proposal, text)
  return text
}

function compose(proposal: Proposal): string {
  const known = order.flatMap((type) => transformsOf(proposal, type))
  const shown = [...known, ...proposal.transforms.filter(({ type }) => !order.includes(type))].slice(0, wordLimit)
  const impliedPrf = hasImpliedPrf(proposal)
  const impliedEsn = transformsOf(proposal, TransformType.Esn).every(({ id }) => id === Esn.No)
  const words = shown.flatMap((one) => wordOf(one, impliedPrf, impliedEsn) ?? [])
  return (proposal.transforms.length > wordLimit ? [...words, '…'] : words).join('-')
}

/** Undefined for what goes without saying. */
function wordOf(transform: Transform, impliedPrf: boolean, impliedEsn: boolean): string | undefined {
  switch (transform.type) {
    case TransformType.Integrity:
      return transform.id === Integrity.None ? undefined : nameOf(transform)
    case TransformType.Prf:
      return impliedPrf ? undefined : nameOf(transform)
    case TransformType.KeyExchange:
      return transform.id === KeyExchangeMethod.None ? 'modpnone' : nameOf(transform)
    case TransformType.Esn:
      return impliedEsn ? undefined : nameOf(transform)
    default:
      return nameOf(transform)
  }
}

/** Whether the PRFs are those that the integrity algorithms stand for anyway; unspoken ones (SHA-1, MD5) go by their names. */
export function hasImpliedPrf(proposal: Proposal): boolean {
  const integrity = transformsOf(proposal, TransformType.Integrity)
  const stated = transformsOf(proposal, TransformType.Prf)
  if (integrity.length === 0 || integrity.length !== stated.length || stated.length > wordLimit) return false
  return integrity.every((one, i) => `prf${nameOf(one)}` === nameOf(stated[i]!))
}

function unique<T extends Transform | string>(items: readonly T[]): T[] {
  const key = (item: T): string => (typeof item === 'string' ? item : `${item.type}:${item.id}:${item.keyLength}`)
  return [...new Map(items.map((item) => [key(item), item])).values()]
}

function examples(protocol: number): string {
  const combinedMode = protocol === ProtocolId.Ike ? 'aes256gcm16-prfsha256-x25519' : 'aes256gcm16-x25519-esn'
  return `Write it as ${combinedMode} or aes256-sha256-modp2048.`
}

function invalid(text: string, why: string, mend: string): AditError {
  return new AditError('config-invalid', `The proposal ${JSON.stringify(text.slice(0, 200))} cannot be used: ${why}.`, mend)
}

const groups = 'x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048'
const combined = 'aes256gcm16-aes128gcm16-chacha20poly1305'

/** What we offer and take where no policy says otherwise. GMAC and NULL are not in it: they hide nothing. */
export const defaultIkeProposals: readonly Proposal[] = parseProposals(
  [`${combined}-prfsha256-prfsha384-prfsha512-${groups}`, `aes256-aes128-sha256-sha384-sha512-${groups}`],
  ProtocolId.Ike,
)

export const defaultEspProposals: readonly Proposal[] = parseProposals(
  [`${combined}-${groups}-esn-noesn`, `aes256-aes128-sha256-${groups}-esn-noesn`],
  ProtocolId.Esp,
)

/**
 * The proposals as they go into an SA payload, numbered from 1, with our SPI (none, 4 or 8 bytes). `keyExchange` false: for the Child SA of
 * IKE_AUTH, which lives on the key exchange of the IKE SA and must not offer one (RFC 7296 §1.2).
 */
export function offerOf(proposals: readonly Proposal[], spi: Uint8Array, keyExchange = true): Proposal[] {
  const kept = (transform: Transform): boolean => keyExchange || transform.type !== TransformType.KeyExchange
  return proposals.map((one, i) => ({ ...one, number: i + 1, spi, transforms: one.transforms.filter(kept) }))
}
