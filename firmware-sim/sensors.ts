import type { SeededRandom } from '#sim/seeded-random.ts'

/** What a simulated pump house measures: slow random walks around a middle, so that charts look like charts. */
export interface SensorReading {
  name: string
  value: number
  unit: string
}

interface Walk {
  name: string
  unit: string
  value: number
  middle: number
  step: number
  decimals: number
}

export class Sensors {
  readonly #random: SeededRandom
  readonly #walks: Walk[] = [
    { name: 'water-temperature', unit: 'Cel', value: 11, middle: 11, step: 0.1, decimals: 2 },
    { name: 'pump-pressure', unit: 'bar', value: 4.2, middle: 4.2, step: 0.05, decimals: 3 },
    { name: 'flow', unit: 'l/min', value: 83, middle: 83, step: 1, decimals: 1 },
  ]

  constructor(random: SeededRandom) {
    this.#random = random
  }

  /** One reading of every sensor. */
  sample(): SensorReading[] {
    return this.#walks.map((walk) => {
      walk.value += (this.#random.next() - 0.5) * walk.step + (walk.middle - walk.value) * 0.02
      return { name: walk.name, unit: walk.unit, value: Number(walk.value.toFixed(walk.decimals)) }
    })
  }
}
