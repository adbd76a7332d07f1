import { differingHints, type HardwareHints, isSameBoard, likeness } from '#shared/enrolment/hardware-hints.ts'

/**
 * The broker's half of the ratchet (shared/enrolment/ratchet.ts), for one principal. Secrets are held as their SHA-256, hex. Pure: a
 * contact is judged by the line that is there, and gives the one to keep.
 */
export interface RatchetLine {
  /** How often it was advanced, as its device counts. */
  readonly step: number
  /** What its device holds now. */
  readonly current: string
  /** What `current` replaced: its device may not know yet that it did. */
  readonly previous: string | undefined
  /** The boards on which it ran, each from a step on, the last one last. */
  readonly boards: readonly { readonly from: number; readonly hints: HardwareHints }[]
  /** Ends of lines that a restored device left behind, the youngest last; `back`: as it went back to an end that it had left. */
  readonly abandoned: readonly { readonly end: string; readonly back: boolean }[]
}

export interface RatchetContact {
  readonly step: number
  /** SHA-256, hex. */
  readonly present: string
  readonly next: string
  readonly hints: HardwareHints
}

export type Judgement =
  /** The first of its principal. */
  | { readonly kind: 'began'; readonly line: RatchetLine }
  /** `changed`: hints in which its board differs from before. */
  | { readonly kind: 'advanced'; readonly line: RatchetLine; readonly changed: readonly string[] }
  /** It has not heard that it was advanced. */
  | { readonly kind: 'repeated'; readonly line: RatchetLine }
  /** The same board with a state of before: a backup. */
  | { readonly kind: 'restored'; readonly line: RatchetLine }
  /** Two hold what one should. `line`: of the one that is kept. */
  | { readonly kind: 'forked'; readonly keep: 'holder' | 'newcomer'; readonly line: RatchetLine }

/** Boards and abandoned ends that are remembered. */
const remembered = 8

export function judgeContact(line: RatchetLine | undefined, contact: RatchetContact): Judgement {
  if (line === undefined) return { kind: 'began', line: begin(contact) }
  if (contact.present === line.current) return advanced(line, contact)
  if (contact.present === line.previous && contact.next === line.current) return { kind: 'repeated', line }
  const { hints: holder } = line.boards.at(-1)!
  return isSameBoard(contact.hints, holder) ? sameBoard(line, contact) : forked(line, contact, holder)
}

/** The line that goes on from this contact, whatever was before. */
export const begin = ({ step, present, next, hints }: RatchetContact): RatchetLine => ({
  step: step + 1,
  current: next,
  previous: present,
  boards: [{ from: 0, hints }],
  abandoned: [],
})

function advanced(line: RatchetLine, { step, present, next, hints }: RatchetContact): Judgement {
  const changed = differingHints(line.boards.at(-1)!.hints, hints)
  const boards = changed.length === 0 ? line.boards : [...line.boards, { from: step + 1, hints }].slice(-remembered)
  return { kind: 'advanced', line: { ...line, step: step + 1, current: next, previous: present, boards }, changed }
}

/**
 * A backup, a lost file, or two machines that cannot be told apart. A device that was restored goes on from an end that it had left only
 * where a person restored the later backup after the earlier one; that it then goes on from where it stood in between, two ends that take
 * turns, is no life of one machine.
 */
function sameBoard(line: RatchetLine, contact: RatchetContact): Judgement {
  const isFrom = ({ end }: { end: string }): boolean => end === contact.present || end === contact.next
  const left = line.abandoned.find(isFrom)
  if (left?.back) return { kind: 'forked', keep: 'holder', line }
  const others = line.abandoned.filter((end) => !isFrom(end))
  const abandoned = [...others, { end: line.current, back: left !== undefined }].slice(-remembered)
  return { kind: 'restored', line: { ...restart(line, contact), abandoned } }
}

/** Kept is whose board is more like the one on which the two were still one: the newcomer may be the older of them. */
function forked(line: RatchetLine, contact: RatchetContact, holder: HardwareHints): Judgement {
  const common = boardAt(line, contact.step)
  const newcomerIsOlder = (likeness(contact.hints, common) ?? 0) > (likeness(holder, common) ?? 0)
  if (!newcomerIsOlder) return { kind: 'forked', keep: 'holder', line }
  return { kind: 'forked', keep: 'newcomer', line: restart(line, contact) }
}

/** The contact's own line, with what was known of its boards up to there. */
function restart(line: RatchetLine, contact: RatchetContact): RatchetLine {
  const before = line.boards.filter(({ from }) => from <= contact.step)
  const last = (before.at(-1) ?? line.boards[0])!
  const isSame = differingHints(last.hints, contact.hints).length === 0
  const known = before.length > 0 ? before : [{ from: 0, hints: last.hints }]
  const boards = isSame ? known : [...known, { from: contact.step + 1, hints: contact.hints }].slice(-remembered)
  return { ...begin(contact), boards }
}

const boardAt = ({ boards }: RatchetLine, step: number): HardwareHints =>
  (boards.findLast(({ from }) => from <= step) ?? boards[0]!).hints
