import assert from 'node:assert/strict'
import { test } from 'node:test'
import { abis, type Layouter, layoutMismatch } from '#shared/platform/linux-engine/abi.ts'

interface Layout {
  size: number
  align: number
  members: Map<string, number>
}

/** C's own rules, written out: every member at the next multiple of its alignment, the whole a multiple of the largest. */
function plainLayouter(word: 4 | 8): Layouter {
  const sizes: Record<string, number> = { int: 4, int16_t: 2, uint8_t: 1, uint16_t: 2, uint32_t: 4 }
  const layoutOf = (type: unknown): Layout => {
    if (typeof type !== 'string') return type as Layout
    const [name, count] = type.split(' [')
    const size = sizes[name!] ?? word
    return { size: size * Number(count?.slice(0, -1) ?? 1), align: size, members: new Map() }
  }
  const build = (members: Record<string, unknown>, united: boolean): Layout => {
    const whole: Layout = { size: 0, align: 1, members: new Map() }
    for (const [name, type] of Object.entries(members)) {
      const { size, align } = layoutOf(type)
      const at = united ? 0 : Math.ceil(whole.size / align) * align
      whole.members.set(name, at)
      whole.size = Math.max(whole.size, at + size)
      whole.align = Math.max(whole.align, align)
    }
    whole.size = Math.ceil(whole.size / whole.align) * whole.align
    return whole
  }
  return {
    struct: (members) => build(members, false),
    union: (members) => build(members, true),
    sizeof: (type) => layoutOf(type).size,
    offsetof: (type, member) => layoutOf(type).members.get(member)!,
  }
}

test("the tables of every processor are what C's rules give", () => {
  for (const [arch, word] of [
    ['x64', 8],
    ['arm64', 8],
    ['arm', 4],
  ] as const) {
    assert.equal(layoutMismatch(abis[arch]!, plainLayouter(word)), undefined, arch)
    assert.notEqual(layoutMismatch(abis[arch]!, plainLayouter(word === 8 ? 4 : 8)), undefined, arch)
  }
})

test('one wrong number anywhere is found', () => {
  const good = abis.x64!
  for (const [name, table] of Object.entries(good)) {
    if (typeof table === 'number') continue
    for (const [member, value] of Object.entries(table as Record<string, number>)) {
      if (member === 'align') continue
      const wrong = { ...good, [name]: { ...table, [member]: value + 4 } }
      assert.match(layoutMismatch(wrong, plainLayouter(8)) ?? '', new RegExp(`^${name}\\.${member} `))
    }
  }
})
