import assert from 'node:assert/strict'
import test from 'node:test'
import { DataKeeper, type DataStatus } from '#agent/core/data-keeper.ts'
import { minutes, seconds } from '#shared/time/instant.ts'

function setUp(own: ConstructorParameters<typeof DataKeeper>[1]) {
  const modes: [mode: string, poll: number | undefined][] = []
  const told: DataStatus[] = []
  const core = { keepaliveInterval: seconds(27.8), setDataMode: (mode: string, poll?: number) => void modes.push([mode, poll]) }
  return { keeper: new DataKeeper(core, own, (status) => told.push(status)), modes, told, core }
}

test("the device's own file has the last word in each point, then the broker, then the defaults", () => {
  const { keeper, modes } = setUp({ mode: 'metered' })
  assert.equal(keeper.configured({ mode: 'on-demand', monthlyMegabytes: 2, poll: minutes(30) }), true)
  assert.deepEqual(modes.at(-1), ['metered', 1_800_000])
  assert.equal(keeper.status.monthlyMegabytes, 2)
  assert.equal(keeper.configured({ mode: 'normal', monthlyMegabytes: 2, poll: minutes(30) }), false)
  assert.equal(setUp({}).keeper.status.mode, 'normal')
})

test('a network that forgets too soon for the budget is told once, and stays reachable', () => {
  const { keeper, modes, told } = setUp({ monthlyMegabytes: 1.1 })
  keeper.learned(seconds(27.8), 'v4')
  keeper.learned(seconds(27.8), 'v4')
  assert.equal(told.length, 1)
  assert.ok(told[0]!.isExceeded && !told[0]!.sleepsForBudget)
  assert.ok(told[0]!.projectedMegabytes! > 3.5)
  assert.equal(modes.at(-1)?.[0], 'normal')
  keeper.learned(seconds(110), 'v4')
  assert.equal(keeper.status.isExceeded, false)
})

test('it sleeps within the budget only if it was told that it may', () => {
  const { keeper, modes, told } = setUp({ monthlyMegabytes: 1.1, exceeded: 'on-demand', poll: minutes(20) })
  keeper.learned(seconds(27.8), 'v4')
  assert.deepEqual(modes.at(-1), ['on-demand', 1_200_000])
  assert.equal(told[0]?.sleepsForBudget, true)
  assert.equal(keeper.status.mode, 'normal')
})
