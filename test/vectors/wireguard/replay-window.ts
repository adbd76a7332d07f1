import { ReplayWindow } from '#shared/tunnel/replay-window.ts'
import { type Fields, isFields, isFieldsArray, optionalText } from '../fields.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'

/**
 * `{W, REJECT_AFTER_MESSAGES?, sequences: [{name, steps: [[counter, accepted, 'range'?]]}]}` after the kernel's counter self-test, or
 * the same with N_BITS (boringtun), which counts the highest itself: its window is W = N_BITS - 1. Counters may be sums of the names
 * defined at the top; a range `A..B` includes both ends and may descend. Each step is a case.
 */
export function recognises(_path: string, contents: unknown): boolean {
  return isFields(contents) && sequencesOf(contents) !== undefined && windowOf(contents) !== undefined
}

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  const sequences = isFields(contents) ? sequencesOf(contents) : undefined
  if (!isFields(contents) || sequences === undefined) throw new BrokenFormat(`${path} has no sequences`)
  const size = windowOf(contents)!
  const names = new Map<string, bigint>([['T_LIM', BigInt(size) + 1n]])
  for (const [name, value] of Object.entries(contents))
    if (typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value))) names.set(name, BigInt(value))
  const limit = names.get('REJECT_AFTER_MESSAGES') ?? (1n << 64n) - BigInt(size) - 1n
  for (const [at, { name, steps }] of sequences.entries()) {
    const window = new ReplayWindow(size, Number(limit >> 32n), Number(limit & 0xffff_ffffn))
    for (const [index, step] of steps.entries())
      verdicts.settle(path, `${name ?? at} step ${index}`, () => judgeStep(window, step, names))
  }
}

interface Sequence {
  name: string | undefined
  steps: readonly Step[]
}

interface Step {
  counter: string
  accepted: boolean
}

function judgeStep(window: ReplayWindow, { counter, accepted }: Step, names: ReadonlyMap<string, bigint>): string | undefined {
  const [from, to = from] = counter.split('..').map((text) => evaluate(text, names)) as [bigint, bigint?]
  const stride = from <= to ? 1n : -1n
  for (let value = from; value !== to + stride; value += stride) {
    const was = window.accept(Number(value >> 32n), Number(value & 0xffff_ffffn))
    if (was !== accepted) return `${value} was ${was ? 'accepted' : 'refused'}`
  }
  return undefined
}

/** A sum of products of numbers and names: `W+1`, `3*N_BITS-1`. */
function evaluate(text: string, names: ReadonlyMap<string, bigint>): bigint {
  let sum = 0n
  for (const [, sign, product] of text.replaceAll(' ', '').matchAll(/([+-]?)([^+-]+)/g)) {
    const value = product!.split('*').reduce((so, factor) => so * (names.get(factor) ?? BigInt(factor)), 1n)
    sum += sign === '-' ? -value : value
  }
  return sum
}

function sequencesOf(contents: Fields): Sequence[] | undefined {
  const lists = isFieldsArray(contents.sequences) ? contents.sequences : 'steps' in contents ? [contents] : undefined
  const sequences: Sequence[] = []
  for (const list of lists ?? []) {
    if (!Array.isArray(list.steps)) return undefined
    const steps = list.steps.map(stepOf)
    if (!steps.every((step) => step !== undefined)) return undefined
    sequences.push({ name: optionalText(list, 'name'), steps })
  }
  return sequences.length > 0 ? sequences : undefined
}

function stepOf(step: unknown): Step | undefined {
  const [counter, accepted] = Array.isArray(step)
    ? step
    : isFields(step)
      ? [step.counter ?? step.range, step.accept ?? step.accepted ?? step.expect]
      : []
  const isNumber = typeof counter === 'string' || typeof counter === 'number'
  return isNumber && typeof accepted === 'boolean' ? { counter: String(counter), accepted } : undefined
}

function windowOf(contents: Fields): number | undefined {
  const inclusive = contents.N_BITS ?? (String(contents.note).includes('N_BITS') ? contents.W : undefined)
  if (inclusive !== undefined) return Number(inclusive) - 1
  const size = contents.W ?? contents.window
  return size === undefined ? undefined : Number(size)
}
