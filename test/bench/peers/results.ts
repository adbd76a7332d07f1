import { type Bar, bars, type Figure, measureOfAll } from './figures.ts'
import { median } from './statistics.ts'
import type { Measured } from './turn.ts'

/** All turns of all contenders of one kind (pair or relay). */
export class Results {
  readonly #kind: keyof typeof measureOfAll
  readonly #figures: readonly Figure[]
  readonly #turns = new Map<string, Measured[]>()

  constructor(kind: keyof typeof measureOfAll, figures: readonly Figure[]) {
    this.#kind = kind
    this.#figures = figures
  }

  add(contender: string, measured: Measured): void {
    const turns = this.#turns.get(contender)
    if (turns === undefined) this.#turns.set(contender, [measured])
    else turns.push(measured)
  }

  get rows(): Row[] {
    return this.#figures.flatMap((figure) => [...this.#turns.keys()].flatMap((contender) => this.#row(figure, contender) ?? []))
  }

  #row(figure: Figure, contender: string): Row | undefined {
    const values = this.#valuesOf(figure, contender)
    if (values.length === 0) return undefined
    const middle = median(values)
    const other = median(this.#valuesOf(figure, measureOfAll[this.#kind]))
    const ratio = other > 0 ? middle / other : undefined
    const bar = bars.find((one) => one.contender === contender && one.figures.test(figure.name))
    const { name, unit } = figure
    const row = {
      figure: name,
      unit,
      contender,
      runs: values.length,
      median: middle,
      min: Math.min(...values),
      max: Math.max(...values),
    }
    return { ...row, ratio, bar: bar && judged(bar, figure, middle, ratio) }
  }

  #valuesOf({ name }: Figure, contender: string): number[] {
    return (this.#turns.get(contender) ?? []).flatMap((measured) => measured[name] ?? [])
  }
}

export interface Row {
  readonly figure: string
  readonly unit: string
  readonly contender: string
  readonly runs: number
  readonly median: number
  readonly min: number
  readonly max: number
  /** Of the medians, to wireguard-go's in the same run; undefined where that was not measured. */
  readonly ratio: number | undefined
  readonly bar: JudgedBar | undefined
}

interface JudgedBar {
  readonly text: string
  /** undefined: there is nothing to compare with. */
  readonly met: boolean | undefined
}

function judged({ of, at }: Bar, { better, unit }: Figure, value: number, ratio: number | undefined): JudgedBar {
  const is = of === 'ratio' ? ratio : value
  const text = `${better === 'more' ? '>=' : '<='} ${Number(at.toFixed(3))} ${of === 'ratio' ? 'times' : unit}`
  return { text, met: is === undefined ? undefined : better === 'more' ? is >= at : is <= at }
}
