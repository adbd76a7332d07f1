import type { WayKind } from '#agent/station/line-event.ts'
import { SeededRandom } from '#sim/seeded-random.ts'
import type { CardShape } from '#test/agent/station/ways/fat-card.ts'

/** What befalls one board on its way over the line. */
export interface Fate {
  readonly serial: string
  readonly way: WayKind
  /** The station loses its power at that call of its counter, while this board is on it. */
  readonly stationCut: number | undefined
  /** The board loses its power at that touch of its disk. */
  readonly boardCut: number | undefined
  /** Somebody types another serial number first. */
  readonly mistyped: string | undefined
  /** It is scanned again at the same station. */
  readonly rescanned: boolean
  /** `twin`: another board with its number comes to the second station; `itself`: it is carried there. */
  readonly elsewhere: 'twin' | 'itself' | undefined
  /** Of the image way. */
  readonly card: { readonly shape: CardShape; readonly full: boolean }
  /** Of the serial way: pieces of text after which the cable is pulled, and whether others' text and lost bytes are on it. */
  readonly pulledAfter: number | undefined
  readonly garbage: SeededRandom | undefined
}

const shapes: readonly CardShape[] = [
  { kind: 12, clusters: 900, sectorsPerCluster: 2, rootEntries: 64 },
  { kind: 16, clusters: 4_200, sectorsPerCluster: 1, rootEntries: 64 },
  { kind: 32, clusters: 800, sectorsPerCluster: 1, rootEntries: 0 },
]

/** One seed, one history. */
export function fatesOf(seed: number, boards: number): Fate[] {
  const random = new SeededRandom(seed)
  return Array.from({ length: boards }, (_, n) => fateOf(random.fork(), `10000000${(0xa000_0000 + n).toString(16)}`))
}

function fateOf(random: SeededRandom, serial: string): Fate {
  const way = (['image', 'network', 'serial'] as const)[random.below(3)]!
  const some = <T>(probability: number, value: () => T): T | undefined => (random.chance(probability) ? value() : undefined)
  return {
    serial,
    way,
    stationCut: some(0.05, () => 1 + random.below(way === 'image' ? 24 : 12)),
    boardCut: some(way === 'image' ? 0 : 0.25, () => 1 + random.below(14)),
    // Two digits in the wrong order, of a number that no board here has.
    mistyped: some(0.06, () => serial.replace('10000000a', '01000000a')),
    rescanned: random.chance(0.15),
    elsewhere: some(0.06, () => (way === 'serial' && random.chance(0.5) ? 'itself' : 'twin')),
    card: { shape: shapes[random.below(shapes.length)]!, full: random.chance(0.12) },
    pulledAfter: some(way === 'serial' ? 0.3 : 0, () => random.below(40)),
    garbage: some(way === 'serial' ? 0.4 : 0, () => random.fork()),
  }
}

/** What a bad cable, and a kernel that prints to the same console, make of a piece of text. */
export function spoilt(text: string, random: SeededRandom): string {
  const fate = random.below(14)
  if (fate === 0) return text.slice(0, random.below(text.length + 1))
  if (fate === 1) return `${text}[    5.12] brcmfmac: firmware loaded\r\n`
  if (fate === 2) return `\x00\xff~~${text}`
  return text
}
