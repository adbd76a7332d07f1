import assert from 'node:assert/strict'
import test from 'node:test'
import { openRegistry } from '#test/broker/registry/registry-fixture.ts'
import { BuiltFactory } from '#test/shared/enrolment/built-board.ts'

test('a factory that two persons trust at once is trusted once, and both are told so', async (t) => {
  const { registry, end } = await openRegistry()
  t.after(end)
  const { root } = new BuiltFactory()
  const trusted = ['ann', 'bob'].map((who) => registry.factories.trust(root.certificate, `admin:${who}`))
  const [one, other] = await Promise.all(trusted)
  assert.equal(one, other)
  assert.deepEqual(registry.factories.all(), [one])
  const entries = (await registry.audit.query({})).filter(({ action }) => action === 'factory.trust')
  assert.deepEqual(
    entries.map(({ actor }) => actor),
    ['admin:ann'],
  )
})
