import type { Deadline } from '#shared/machine.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { Proposal } from '#shared/wire/ike-payload/payload.ts'
import type { IkeContext, Initiation } from './ike-context.ts'
import { IkeCore } from './ike-core.ts'
import type { IkeOutput } from './ike-output.ts'
import type { AcceptedInit } from './init-request.ts'
import type { AuthenticatedPeer, PeerGrant } from './peer-policy.ts'

/**
 *   initiator: initiating ── INIT answered, AUTH answered ──> established
 *   responder: half-open  ── IKE_AUTH verified ─────────────> established ── delete, death ──> closed
 */
export type IkeSaState = 'initiating' | 'half-open' | 'established' | 'closing' | 'closed'

/**
 * One association's IKE SA as a pure machine, for either role. It outlives its own rekeys: after one it stands on new SPIs and keys, and
 * the old ones live on until the peer has let go of them. Child SAs belong to it through all that.
 *
 * The owner gives it datagrams that name one of `localSpis` (the first message goes through `readInitRequest`), calls `expire` at
 * `deadline`, and takes outputs with `poll` after every call until there are none. After `closed` it calls `wipe` and forgets it.
 *
 * Lifetimes in time are kept here (`PeerGrant.child.lifetime`, the settings); those in bytes and packets by whoever counts them, who calls
 * `rekeyChild` at the soft limit and `closeChild` at the hard one.
 */
export class IkeSa {
  readonly #core: IkeCore

  private constructor(core: IkeCore) {
    this.#core = core
  }

  /** Begins an association: the first IKE_SA_INIT (or IKE_SESSION_RESUME, with a ticket) is the first output. */
  static initiate(context: IkeContext, initiation: Initiation, now: Instant): IkeSa {
    return new IkeSa(IkeCore.initiate(context, initiation, now))
  }

  /**
   * Answers a first message that `readInitRequest` has found acceptable: the response is the first output. Undefined: its key exchange
   * is no value of the group, and there is nothing to answer.
   */
  static respond(context: IkeContext, request: AcceptedInit, now: Instant): IkeSa | undefined {
    const core = IkeCore.respond(context, request, now)
    return core === undefined ? undefined : new IkeSa(core)
  }

  get state(): IkeSaState {
    return this.#core.state.state
  }

  /** Our own SPIs that lead here, the present one first; the old one too while it lives. Changes with `rekeyed`, at `closed`, and nowhere else. */
  get localSpis(): readonly bigint[] {
    return this.#core.state.generations.map(({ localSpi }) => localSpi)
  }

  /** The initiator's SPI of the first message: with its source it tells a repeated first message, whose responder SPI is zero. */
  get initiatorSpi(): bigint {
    return this.#core.initiatorSpi
  }

  /** Set once the peer is authenticated. */
  get peer(): AuthenticatedPeer | undefined {
    return this.#core.state.peer
  }

  get grant(): PeerGrant | undefined {
    return this.#core.state.grant
  }

  /** What protects it, since the keys of the last first exchange or rekey: one transform of each type. */
  get proposal(): Proposal | undefined {
    return this.#core.state.current.secrets?.chosen
  }

  /** Child SAs by inbound SPI, those included that are being replaced. */
  get childSpis(): readonly number[] {
    return this.#core.state.children.spis
  }

  /**
   * Takes one IKE message, without the non-ESP marker. Returns 0 where it was authentic and new, or belongs to the unencrypted first
   * exchange: then `from` is where the peer is. A negative DropReason else: of a repeated request (which is answered again), of anything
   * that a stranger may have sent. Never throws.
   */
  receive(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    return this.#core.receive(datagram, from, now)
  }

  poll(): IkeOutput | undefined {
    return this.#core.poll()
  }

  expire(now: Instant): void {
    this.#core.expire(now)
  }

  deadline(): Deadline | undefined {
    return this.#core.deadline()
  }

  /** An authentic packet came on this inbound SPI: the peer lives, and knows that Child SA. Cheap enough for every packet. */
  dataHeard(inboundSpi: number, now: Instant): void {
    this.#core.children.heard(inboundSpi)
    this.#core.heard(now)
  }

  /** Asks the peer for a sign of life: an empty INFORMATIONAL, unless a request is under way that asks the same. */
  probe(now: Instant): void {
    this.#core.probe(now)
  }

  /** Another Child SA, or the one that was lost. */
  createChild(now: Instant): void {
    this.#core.children.create(now)
  }

  /** Renews a Child SA; nothing where that is under way already, or it is not known. */
  rekeyChild(inboundSpi: number, now: Instant): void {
    this.#core.children.rekeyChild(inboundSpi, now)
  }

  /** `PeerGrant.child` allows other traffic than before: what the Child SA carries is agreed on anew. */
  renegotiate(now: Instant): void {
    this.#core.children.renegotiate(now)
  }

  /** Ends a Child SA and tells the peer. */
  closeChild(inboundSpi: number, now: Instant): void {
    this.#core.children.closeChild(inboundSpi, now, 'deleted')
  }

  /** Renews the IKE SA itself; nothing where that is under way already. */
  rekeyIke(now: Instant): void {
    this.#core.renewal.rekey(now)
  }

  /** Our own address has changed: tells a peer that speaks MOBIKE (RFC 4555) by way of the new path, and asks others for a sign of life. */
  move(now: Instant): void {
    this.#core.move(now)
  }

  /** Sends the peer to another gateway (RFC 5685): literal address or host name. False: it began nothing with us, or cannot be sent. */
  redirect(to: string, now: Instant): boolean {
    return this.#core.redirect(to, now)
  }

  /** Ends the association: tells the peer, and is `closed` when that is answered or patience ends. */
  close(now: Instant): void {
    this.#core.close(now)
  }

  /** Forgets every key at once, without a word to the peer; `closed` is not said. */
  wipe(): void {
    this.#core.wipe()
  }
}
