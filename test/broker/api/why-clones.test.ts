import assert from 'node:assert/strict'
import test from 'node:test'
import { cloneLinks } from '#broker/api/why-clones.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'

const pi = { id: 7, name: 'pi' } as Principal

/** A store with copies in these states, and whether the device is still awaited under fresh keys. */
const clones = (states: readonly string[], contested: boolean): Registry['clones'] =>
  ({
    of: async () => states.map((state, at) => ({ id: at + 1, state })),
    contestOf: () => (contested ? { principalId: 7, spki: '', ticket: undefined } : undefined),
  }) as unknown as Registry['clones']

test('P-18 why names a contest as the break, a copy that is held apart as a remark, and nothing where none is', async () => {
  assert.deepEqual(await cloneLinks(pi, clones([], false)), [])
  assert.deepEqual(await cloneLinks(pi, clones(['granted', 'ended', 'dismissed'], false)), [])
  const [remark] = await cloneLinks(pi, clones(['held', 'held'], false))
  assert.deepEqual([remark?.code, remark?.state], ['clone-held', 'warn'])
  assert.match(remark?.text ?? '', /^2 copies of pi are/)
  const [broken] = await cloneLinks(pi, clones(['ended', 'held'], true))
  assert.deepEqual([broken?.code, broken?.state], ['clone-contest', 'broken'])
  assert.match(broken?.mend ?? '', /clones dismiss 2$/)
})
