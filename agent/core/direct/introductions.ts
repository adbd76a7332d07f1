import { type DropCounters, DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import type { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { copyEndpoint, type Endpoint } from '#shared/wire/endpoint.ts'
import { type DirectHost, type DirectOptions, isStrictEnd, ownCandidates, wayTo } from './direct-host.ts'
import { type Answer, encodeAnswer, encodeIntroduction, type Introduction, readIntroduction } from './introduction.ts'
import { Letters, letterIn } from './letter.ts'
import { innerPair, overlayPacket } from './overlay-packet.ts'
import type { OverlayRoad } from './overlay-road.ts'
import type { PeerRecord, PeerRegister } from './peer-register.ts'
import { type Introduced, Reception } from './reception.ts'

/** How a letter came. */
type Way = { kind: 'overlay'; address: string } | { kind: 'udp'; endpoint: Endpoint }

/** Letters from strangers cost two Diffie-Hellmans each, a second; and at most so many at once. */
const LETTERS_PER_SECOND = 20
const LETTER_BURST = 40
/** Places known from before that are written to where the hub is silent. */
const COLD_PLACES = 6

/** What introductions are made with. */
interface IntroductionsOptions {
  readonly options: DirectOptions
  readonly host: DirectHost
  /** Holds the associations. */
  readonly endpoint: WireguardEndpoint
  readonly register: PeerRegister
  readonly road: OverlayRoad
  readonly counters: DropCounters
}

/** Letters out and in: an operator's to devices and their answers, a device's reception of operators. */
export class Introductions {
  readonly #options: DirectOptions
  readonly #host: DirectHost
  readonly #endpoint: WireguardEndpoint
  readonly #register: PeerRegister
  readonly #road: OverlayRoad
  readonly #counters: DropCounters
  readonly #letters: Letters
  readonly #reception: Reception | undefined
  readonly #strangers = new TokenBucket(LETTERS_PER_SECOND, LETTER_BURST)

  constructor({ options, host, endpoint, register, road, counters }: IntroductionsOptions) {
    this.#options = options
    this.#host = host
    this.#endpoint = endpoint
    this.#register = register
    this.#road = road
    this.#counters = counters
    this.#letters = new Letters(host.suite, host.tunnelKey)
    if (options.role === 'device') this.#reception = new Reception(host.tunnelKey.publicKey, options.judge)
  }

  /** Writes to the device, until it answers. */
  begin(record: PeerRecord, now: Instant): void {
    record.introducer?.handle({ kind: 'ask' }, now)
    this.#drain(record, now)
  }

  /** The other end has forgotten us, or is gone: packets go in the clear of our association, and we introduce ourselves anew. */
  again(record: PeerRecord, now: Instant): void {
    if (record.introducer === undefined || record.introducer.isAsking) return
    record.peer.association.reset()
    this.begin(record, now)
  }

  expire(record: PeerRecord, now: Instant): void {
    record.introducer?.handle({ kind: 'time' }, now)
    this.#drain(record, now)
  }

  /** A letter has come. */
  take(datagram: Uint8Array, by: Way, now: Instant): void {
    if (by.kind === 'udp' && this.#options.relayOnly) return void this.#counters.count(DropReason.FilterRefused)
    const sealed = letterIn(datagram)
    if (sealed === undefined) return void this.#counters.count(DropReason.UnknownKind)
    if (!this.#strangers.take(now)) return void this.#counters.count(DropReason.RateLimited)
    const letter = this.#letters.open(sealed)
    if (letter === undefined) return void this.#counters.count(DropReason.Unauthentic)
    const said = readIntroduction(letter.payload)
    if (said === undefined) return void this.#counters.count(DropReason.Malformed)
    if (said.kind === 'answer') this.#takeAnswer(letter.writer, said, by, now)
    else this.#receive(letter.writer, said, by, now)
  }

  #drain(record: PeerRecord, now: Instant): void {
    const { introducer, peer } = record
    if (introducer === undefined) return
    for (let output = introducer.poll(); output !== undefined; output = introducer.poll()) {
      if (output.kind === 'write') this.#write(record, output.nonce)
      else if (output.kind === 'refused') this.#options.event?.({ kind: 'refused', name: peer.name, why: output.why })
      else this.#introduced(record, output.answer, now)
    }
  }

  #write({ peer, statements, introducer }: PeerRecord, nonce: Uint8Array): void {
    const introduction: Introduction = {
      kind: 'introduction',
      nonce,
      counter: this.#host.nextTimestamp(),
      statements,
      candidates: peer.wish === 'relay' ? [] : ownCandidates(this.#options, this.#host),
    }
    const letter = this.#letters.write(peer.association.publicKey, encodeIntroduction(introduction))
    if (letter === undefined) return
    if (this.#host.relayUp()) this.#road.throughHub(letter, peer)
    // A hub that says nothing may be gone, though nobody has noticed yet.
    const isQuiet = !this.#host.relayUp() || (introducer?.letters ?? 0) > 2
    if (peer.wish !== 'relay' && isQuiet)
      for (const { endpoint } of peer.places.slice(0, COLD_PLACES)) this.#host.send(letter, wayTo(this.#options, endpoint))
  }

  #takeAnswer(writer: Uint8Array, answer: Answer, by: Way, now: Instant): void {
    const record = this.#register.get(writer)
    if (record?.introducer === undefined) return void this.#counters.count(DropReason.UnknownPeer)
    if (by.kind === 'udp') record.answeredFrom = copyEndpoint(by.endpoint)
    else delete record.answeredFrom
    record.introducer.handle({ kind: 'answer', answer }, now)
    this.#drain(record, now)
  }

  #introduced(record: PeerRecord, { candidates, strict }: Answer, now: Instant): void {
    const { peer } = record
    peer.setPlaces(candidates)
    peer.isStrict = strict
    this.#options.event?.({ kind: 'introduced', name: peer.name })
    if (peer.isEstablished) return
    // The handshake takes the way that the answer has just come.
    this.#endpoint.setEndpoint(peer.association, record.answeredFrom ?? peer.overlay, now)
    this.#endpoint.initiate(peer.association, now)
  }

  /** The device's part. Nobody gets an answer who is not an operator of the fleet. */
  #receive(writer: Uint8Array, introduction: Introduction, by: Way, now: Instant): void {
    const taken = this.#reception?.take(writer, introduction) ?? DropReason.UnknownPeer
    if (typeof taken === 'number') return void this.#counters.count(taken)
    const refusal = typeof taken === 'string' ? taken : this.#admit(writer, taken, introduction, by, now)
    if (refusal !== undefined) this.#counters.count(DropReason.FilterRefused)
    const answer: Answer = {
      kind: 'answer',
      nonce: introduction.nonce,
      counter: this.#host.nextTimestamp(),
      candidates: refusal === undefined && introduction.candidates.length > 0 ? ownCandidates(this.#options, this.#host) : [],
      refusal,
      strict: isStrictEnd(this.#options),
    }
    const letter = this.#letters.write(writer, encodeAnswer(answer))
    if (letter === undefined) return
    if (by.kind === 'udp') return void this.#host.send(letter, by.endpoint)
    const pair = innerPair(this.#host.netstack.addresses, [by.address])
    if (pair) this.#road.relay(overlayPacket(pair, letter), this.#host.relayMtu())
  }

  /** Takes the operator in, or says why not. */
  #admit(
    writer: Uint8Array,
    { operator, ports }: Introduced,
    { statements, candidates }: Introduction,
    by: Way,
    now: Instant,
  ): string | undefined {
    // Through the hub an operator speaks from its own address alone (P-30).
    if (by.kind === 'overlay' && !operator.addresses.includes(by.address))
      return `${by.address} is no address of ${operator.name}.`
    const record = this.#register.add({ statement: { ...operator, tunnelKey: writer }, statements, ports }, now)
    if (record === undefined) return `${operator.name} and this device have no inner addresses of one family.`
    record.peer.setPlaces(candidates)
    this.#options.event?.({ kind: 'introduced', name: operator.name })
    return undefined
  }
}
