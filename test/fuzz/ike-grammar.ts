/** Bodies of IKE payloads as their grammar has them, with edge values in the places of numbers: what mutation alone seldom reaches. */
import { concat } from '#shared/bytes/concat.ts'
import type { Dice } from '#shared/time/backoff.ts'
import { NotifyType, PayloadType } from '#shared/wire/ike-numbers.ts'
import { pick, randomBytes, roll } from './mutate.ts'

type Grammar = (dice: Dice) => Uint8Array

const u8 = (value: number): Uint8Array => Uint8Array.of(value)
const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value)

/** Mostly the right number, now and then one beside it. */
const about = (dice: Dice, value: number): number =>
  dice() < 0.95 ? value : Math.max(0, value + pick(dice, [-4, -1, 1, 4, 65_000]))

const list = (dice: Dice, most: number, one: (index: number, last: boolean) => Uint8Array): Uint8Array => {
  const count = roll(dice, most + 1)
  return concat(...Array.from({ length: count }, (_, i) => one(i, i === count - 1)))
}

const attribute: Grammar = (dice) => {
  if (dice() < 0.7) return concat(u16(pick(dice, [0x800e, 0x8001, 0xffff])), u16(pick(dice, [0, 1, 128, 192, 256, 65_535])))
  const value = randomBytes(dice, roll(dice, 9))
  return concat(u16(pick(dice, [14, 0, 0x7fff])), u16(about(dice, value.length)), value)
}

const transform = (dice: Dice, last: boolean): Uint8Array => {
  const attributes = list(dice, 2, () => attribute(dice))
  const head = concat(u8(about(dice, last ? 0 : 3)), u8(0), u16(about(dice, 8 + attributes.length)))
  return concat(head, u8(roll(dice, 8)), u8(0), u16(roll(dice, 64)), attributes)
}

const proposal = (dice: Dice, index: number, last: boolean): Uint8Array => {
  const protocol = pick(dice, [1, 2, 3, 9])
  const spi = randomBytes(dice, about(dice, protocol === 1 ? pick(dice, [0, 8]) : 4) & 0xff)
  let count = 0
  const transforms = list(dice, dice() < 0.02 ? 255 : 6, (_, end) => {
    count++
    return transform(dice, end)
  })
  const length = about(dice, 8 + spi.length + transforms.length)
  const head = concat(u8(about(dice, last ? 0 : 2)), u8(0), u16(length), u8(about(dice, index + 1)), u8(protocol))
  return concat(head, u8(about(dice, spi.length)), u8(about(dice, count)), spi, transforms)
}

const selector: Grammar = (dice) => {
  const type = pick(dice, [7, 7, 8, 8, 9, 10])
  const size = type === 7 ? 4 : 16
  const start = randomBytes(dice, size)
  const end = dice() < 0.8 ? start.map((byte, i) => (i < size / 2 ? byte : 0xff)) : randomBytes(dice, size)
  const ports = pick(dice, [concat(u16(0), u16(65_535)), concat(u16(65_535), u16(0)), randomBytes(dice, 4)])
  return concat(u8(type), u8(pick(dice, [0, 1, 6, 17, 58, 255])), u16(about(dice, 8 + 2 * size)), ports, start, end)
}

const notifyTypes: readonly number[] = [...Object.values(NotifyType), 0, 9999, 40_959, 65_535]
const dataSizes = [0, 1, 2, 4, 5, 8, 16, 20, 64, 65, 512, 513]

/** By PayloadType. */
export const grammars: Readonly<Record<number, Grammar>> = {
  [PayloadType.Sa]: (dice) => list(dice, dice() < 0.02 ? 40 : 4, (i, last) => proposal(dice, i, last)),
  [PayloadType.Ke]: (dice) => concat(u16(roll(dice, 40)), u16(0), randomBytes(dice, pick(dice, [0, 1, 32, 64, 132, 256, 512]))),
  [PayloadType.Nonce]: (dice) => randomBytes(dice, pick(dice, [0, 1, 15, 16, 32, 256, 257])),
  [PayloadType.Notify]: (dice) => {
    const spi = randomBytes(dice, pick(dice, [0, 0, 4, 8, 16]))
    const head = concat(u8(roll(dice, 5)), u8(about(dice, spi.length)), u16(pick(dice, notifyTypes)))
    return concat(head, spi, randomBytes(dice, pick(dice, dataSizes)))
  },
  [PayloadType.Delete]: (dice) => {
    const size = pick(dice, [0, 4, 4, 4, 8])
    const count = pick(dice, [0, 1, 2, 255, 256, 257])
    return concat(u8(roll(dice, 5)), u8(size), u16(about(dice, count)), randomBytes(dice, size * count))
  },
  [PayloadType.VendorId]: (dice) => randomBytes(dice, roll(dice, 65)),
  [PayloadType.IdI]: (dice) =>
    concat(u8(roll(dice, 16)), u8(0), u16(0), randomBytes(dice, pick(dice, [0, 3, 4, 5, 16, 17, 300]))),
  [PayloadType.IdR]: (dice) =>
    concat(u8(roll(dice, 16)), u8(0), u16(0), randomBytes(dice, pick(dice, [0, 3, 4, 5, 16, 17, 300]))),
  [PayloadType.Cert]: (dice) => concat(u8(roll(dice, 16)), randomBytes(dice, roll(dice, 600))),
  [PayloadType.CertReq]: (dice) => concat(u8(roll(dice, 16)), randomBytes(dice, pick(dice, [0, 1, 19, 20, 21, 40, 400]))),
  [PayloadType.Auth]: (dice) => concat(u8(roll(dice, 16)), u8(0), u16(0), randomBytes(dice, pick(dice, [0, 1, 20, 32, 64, 256]))),
  [PayloadType.TsI]: (dice) => selectors(dice),
  [PayloadType.TsR]: (dice) => selectors(dice),
  [PayloadType.Cp]: (dice) => {
    const attributes = list(dice, dice() < 0.02 ? 70 : 6, () => {
      const value = randomBytes(dice, pick(dice, [0, 0, 4, 5, 8, 16, 17, 18]))
      return concat(u16(pick(dice, [1, 2, 3, 8, 10, 13, 15, 0x7000, 0x8001])), u16(about(dice, value.length)), value)
    })
    return concat(u8(roll(dice, 6)), u8(0), u16(0), attributes)
  },
  [PayloadType.Sk]: (dice) => randomBytes(dice, roll(dice, 65)),
  [PayloadType.Skf]: (dice) => {
    const total = pick(dice, [0, 1, 2, 16, 17, 65_535])
    return concat(u16(about(dice, Math.min(total, 1 + roll(dice, 17)))), u16(total), randomBytes(dice, roll(dice, 65)))
  },
  [PayloadType.Eap]: (dice) => randomBytes(dice, roll(dice, 65)),
}

const selectors: Grammar = (dice) => {
  let count = 0
  const all = list(dice, dice() < 0.02 ? 255 : 6, () => {
    count++
    return selector(dice)
  })
  return concat(u8(about(dice, count)), u8(0), u16(0), all)
}

const types: readonly number[] = [...Object.keys(grammars).map(Number), 1, 32, 49, 200]

/** A chain of payloads and the type of its first, each linked to the next; now and then by a wrong type or length. */
export function grammarChain(dice: Dice): { first: number; bytes: Uint8Array } {
  const kinds = Array.from({ length: roll(dice, dice() < 0.05 ? 60 : 8) }, () => pick(dice, types))
  const parts = kinds.map((type, i) => {
    const body = grammars[type]?.(dice) ?? randomBytes(dice, roll(dice, 20))
    const critical = dice() < 0.05 ? 0x80 : 0
    return concat(
      u8(dice() < 0.98 ? (kinds[i + 1] ?? 0) : roll(dice, 256)),
      u8(critical),
      u16(about(dice, 4 + body.length)),
      body,
    )
  })
  return { first: kinds[0] ?? 0, bytes: concat(...parts) }
}
