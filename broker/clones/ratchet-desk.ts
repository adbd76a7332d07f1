import { begin, type Judgement, judgeContact, type RatchetContact, type RatchetLine } from '#broker/clones/ratchet-line.ts'
import type { Clone, NewClone } from '#broker/registry/clones.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { toBase64 } from '#shared/bytes/base64.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { differingHints, isSameBoard } from '#shared/enrolment/hardware-hints.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { seconds } from '#shared/time/instant.ts'

export interface RatchetDeskParts {
  registry: Pick<Registry, 'clones' | 'certificates'>
  suite: Suite
  timers: Timers
  log: Log
}

/** Who comes, and with what. */
export interface RatchetCaller {
  readonly principal: Principal
  /** SHA-256 of its SPKI, hex. */
  readonly spki: string
  /** Its outer address. */
  readonly source: string
  /** Whether this is its first contact since it was started. */
  readonly starts: boolean
}

export type RatchetReply =
  /** Its secret is replaced: all is well. */
  | { readonly verdict: 'advanced' }
  /** Somebody else has its keys: it is to make new ones, and may have them certified by this ticket (base64). */
  | { readonly verdict: 'renew-keys'; readonly ticket: string }
  /** It is a copy, of this number. `claim`: with which it may become somebody else. */
  | { readonly verdict: 'held'; readonly clone: number; readonly claim?: string }

/** How long the tunnel lives on after whoever has it was told to come: an answer is a round trip away. */
const toldBefore = seconds(2)
const ticketLength = 32
/** Secrets by which a copy is known again. */
const endsKept = 8

/**
 * Judges contacts of the ratchet and does what follows: the line is kept, a copy is held apart, and whoever is the device gets fresh keys.
 * Contacts of one principal are judged one after the other; what is answered is on disk.
 */
export class RatchetDesk {
  readonly #parts: RatchetDeskParts
  readonly #turns = new Map<number, Promise<unknown>>()

  constructor(parts: RatchetDeskParts) {
    this.#parts = parts
  }

  /** `clone`: as which the caller was told that it is held. */
  contact(caller: RatchetCaller, contact: RatchetContact, clone?: number): Promise<RatchetReply> {
    const { id } = caller.principal
    const before = this.#turns.get(id) ?? Promise.resolve()
    const work = (): Promise<RatchetReply> => this.#judge(caller, contact, clone)
    const turn = before.then(work, work)
    const settled = turn.catch(() => undefined).finally(() => this.#turns.get(id) === settled && this.#turns.delete(id))
    this.#turns.set(id, settled)
    return turn
  }

  async #judge(caller: RatchetCaller, contact: RatchetContact, number: number | undefined): Promise<RatchetReply> {
    const { clones } = this.#parts.registry
    const { principal, spki } = caller
    const line = await clones.lineOf(principal.id)
    const known = (await clones.of(principal.id)).filter(({ state }) => state !== 'ended')
    const copy = known.find((clone) => isCopy(clone, contact, line, number))
    if (copy?.state === 'dismissed') return this.#takeBack(caller, contact, copy)
    if (copy) return this.#held(copy, caller, contact)
    // A key that was replaced because of copies is nobody's but theirs.
    if (clones.isHeld(spki)) return this.#fork(caller, contact, { kind: 'forked', keep: 'holder', line: line ?? begin(contact) })
    const judged = judgeContact(line, contact)
    if (judged.kind === 'forked') {
      // Whom the fork leaves behind is known by its board too, where it has lost everything else.
      const again = known.find(({ state, board }) => state !== 'dismissed' && isSameBoard(board, contact.hints))
      if (again && differingHints(again.board, contact.hints).length === 0) return this.#held(again, caller, contact)
      return this.#fork(caller, contact, judged, line)
    }
    await this.#settle(principal, spki)
    if (judged.kind === 'began') await this.#ended(principal)
    return this.#kept(caller, judged)
  }

  /** Under another key than the one that several hold comes whom the ticket was given to. */
  async #settle(principal: Principal, spki: string): Promise<void> {
    const { clones } = this.#parts.registry
    const contest = clones.contestOf(principal.id)
    if (contest === undefined || contest.spki === spki) return
    await this.#revoke(principal, contest.spki)
    await clones.settle(principal)
  }

  async #revoke(principal: Principal, spki: string): Promise<void> {
    const { certificates } = this.#parts.registry
    for (const { issuerHex, serialHex, spkiSha256Hex, revokedAt } of await certificates.list(principal.id))
      if (spkiSha256Hex === spki && revokedAt === undefined) await certificates.revoke(issuerHex, serialHex)
  }

  /** A device comes for the first time: it may have been a copy, and its claim is used. */
  async #ended({ name }: Principal): Promise<void> {
    const { clones } = this.#parts.registry
    for (const clone of await clones.list())
      if (clone.state === 'granted' && clone.name === name)
        await clones.decide(clone, { state: 'ended', claim: null }, { actor: `device:${name}`, action: 'clone.became' })
  }

  async #kept(caller: RatchetCaller, judged: Exclude<Judgement, { kind: 'forked' }>): Promise<RatchetReply> {
    const { clones } = this.#parts.registry
    const { principal, spki } = caller
    const isContested = clones.contestOf(principal.id)?.spki === spki
    const ticket = isContested ? this.#newTicket() : undefined
    const audit = auditOf(judged)
    await clones.apply(principal, {
      line: judged.line,
      ...(ticket && { contest: { spki, ticket: ticket.hash } }),
      ...(audit && { audit }),
    })
    // A tunnel that is up while its device starts is nobody's, or another's: whoever has it shows himself by his own contact.
    if (caller.starts) clones.ask(principal.id)
    return ticket ? { verdict: 'renew-keys', ticket: ticket.text } : { verdict: 'advanced' }
  }

  /** The one alert of this copy. */
  async #fork(
    caller: RatchetCaller,
    contact: RatchetContact,
    { keep, line }: Extract<Judgement, { kind: 'forked' }>,
    before?: RatchetLine,
  ): Promise<RatchetReply> {
    const { log, registry } = this.#parts
    const { clones } = registry
    const { principal, spki, source } = caller
    const holder = (before ?? line).boards.at(-1)!.hints
    const isNewcomerKept = keep === 'newcomer'
    const copy: NewClone = {
      principalId: principal.id,
      spki,
      ends: [isNewcomerKept && before ? before.current : contact.next],
      board: isNewcomerKept ? holder : contact.hints,
      differing: differingHints(holder, contact.hints),
      kept: keep,
      source: isNewcomerKept ? undefined : source,
    }
    const ticket = isNewcomerKept ? this.#newTicket() : undefined
    const isNew = clones.contestOf(principal.id)?.spki !== spki
    // While the kept one is awaited under one key, whoever is parted from it under another is held at once.
    const isAside = clones.contestOf(principal.id) !== undefined && isNew && !isNewcomerKept
    const opens = !clones.isHeld(spki) && !isAside && (isNew || ticket !== undefined)
    const added = await clones.apply(principal, {
      line,
      clone: copy,
      ...(isAside && { hold: spki }),
      ...(opens && { contest: { spki, ...(ticket && { ticket: ticket.hash }) } }),
      audit: { action: 'clone.found', detail: { differing: copy.differing, kept: keep, from: source } },
    })
    if (isAside) await this.#revoke(principal, spki)
    log.warn({ device: principal.name, clone: added!.id, from: source, kept: keep }, 'a copy of a device was found')
    if (opens) {
      clones.ask(principal.id)
      this.#parts.timers.setTimer(toldBefore, () => clones.suspend(principal.id))
    }
    return ticket ? { verdict: 'renew-keys', ticket: ticket.text } : { verdict: 'held', clone: added!.id }
  }

  async #held(copy: Clone, { source }: RatchetCaller, { next }: RatchetContact): Promise<RatchetReply> {
    await this.#parts.registry.clones.seen(copy, source, [...new Set([...copy.ends, next])].slice(-endsKept))
    return { verdict: 'held', clone: copy.id, ...(copy.claim !== undefined && { claim: copy.claim }) }
  }

  /** A person has said that this one is the device. Whoever else has its keys keeps the old ones. */
  async #takeBack({ principal, spki }: RatchetCaller, contact: RatchetContact, copy: Clone): Promise<RatchetReply> {
    const { clones } = this.#parts.registry
    const ticket = this.#newTicket()
    await clones.apply(principal, { line: begin(contact), contest: { spki, ticket: ticket.hash } })
    await clones.decide(copy, { state: 'ended' }, { actor: 'broker', action: 'clone.taken-back' })
    clones.ask(principal.id)
    this.#parts.timers.setTimer(toldBefore, () => clones.suspend(principal.id))
    return { verdict: 'renew-keys', ticket: ticket.text }
  }

  #newTicket(): { text: string; hash: string } {
    const { suite } = this.#parts
    const bytes = suite.random(ticketLength)
    return { text: toBase64(bytes), hash: toHex(suite.hash('sha256', bytes)) }
  }
}

/** By its number, or by what it was left holding: a secret that the device's own line has no longer. */
function isCopy(clone: Clone, { present, next }: RatchetContact, line: RatchetLine | undefined, number?: number): boolean {
  if (clone.id === number || clone.ends.includes(next)) return true
  return clone.ends.includes(present) && present !== line?.current && present !== line?.previous
}

function auditOf(
  judged: Exclude<Judgement, { kind: 'forked' }>,
): { action: string; detail: Record<string, unknown> } | undefined {
  if (judged.kind === 'restored') return { action: 'device.restored', detail: { step: judged.line.step } }
  if (judged.kind === 'advanced' && judged.changed.length > 0)
    return { action: 'device.parts-changed', detail: { parts: judged.changed } }
  return undefined
}
