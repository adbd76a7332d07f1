/**
 * What a device says of the board that it runs on, each as a keyed hash: enough to tell two boards apart, too little to tell a
 * manufacturer's number. No proof of anything: whoever has a device's keys can lie. It says which of two is the one that was there before.
 */
export interface HardwareHints {
  /** Serial number of the CPU or board. */
  readonly cpu?: string | undefined
  /** CID of the memory card. */
  readonly card?: string | undefined
  /** Of the interfaces that are part of the board or plugged into it. */
  readonly macs?: readonly string[] | undefined
  readonly model?: string | undefined
  /** /etc/machine-id: copied with the card, so that it weighs least. */
  readonly machine?: string | undefined
}

/** A board with another card is still that board, a card in another board still that card; a copy is neither. */
const weights = { cpu: 4, card: 5, macs: 2, model: 1, machine: 1 } as const

type Hint = keyof typeof weights
const hintNames = Object.keys(weights) as Hint[]

/** 0 to 1: how much of what both name is the same, by weight; undefined where they name nothing in common. */
export function likeness(one: HardwareHints, other: HardwareHints): number | undefined {
  let known = 0
  let same = 0
  for (const hint of hintNames) {
    const [a, b] = [valuesOf(one, hint), valuesOf(other, hint)]
    if (a.length === 0 || b.length === 0) continue
    known += weights[hint]
    if (a.some((value) => b.includes(value))) same += weights[hint]
  }
  return known === 0 ? undefined : same / known
}

/** Whether most of it is the same, by weight. Where nothing can be compared, nothing speaks against it. */
export const isSameBoard = (one: HardwareHints, other: HardwareHints): boolean => (likeness(one, other) ?? 1) > 1 / 2

/** The hints in which the two differ, of those that both name. */
export const differingHints = (one: HardwareHints, other: HardwareHints): string[] =>
  hintNames.filter((hint) => {
    const [a, b] = [valuesOf(one, hint), valuesOf(other, hint)]
    return a.length > 0 && b.length > 0 && [...a].sort().join() !== [...b].sort().join()
  })

function valuesOf(hints: HardwareHints, hint: Hint): readonly string[] {
  const value = hints[hint]
  if (value === undefined) return []
  return typeof value === 'string' ? [value] : value
}
