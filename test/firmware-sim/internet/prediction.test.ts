import assert from 'node:assert/strict'
import { test } from 'node:test'
import { predict } from '#sim/internet/prediction.ts'
import { drawNetwork } from '#sim/internet/topology.ts'
import { punch } from '#test/firmware-sim/internet/exhaustive-puncher.ts'

const networks = 2_500

test(`over ${networks} networks a direct path is found exactly where the drawing says that there must be one`, (t) => {
  const counts = { direct: 0, relay: 0, either: 0 }
  const wrong: string[] = []
  const from = performance.now()
  for (let seed = 1; seed <= networks; seed++) {
    const plan = drawNetwork(seed)
    const predicted = predict(plan)
    counts[predicted]++
    const found = punch(plan)
    if (predicted !== 'either' && found !== (predicted === 'direct'))
      wrong.push(`seed ${seed}: predicted ${predicted}, found ${found ? 'direct' : 'none'}\n${JSON.stringify(plan, null, 1)}`)
  }
  t.diagnostic(`${JSON.stringify(counts)} in ${Math.round(performance.now() - from)} ms`)
  assert.equal(wrong.length, 0, `${wrong.length} wrong; the first: ${wrong[0]}`)
  assert.ok(counts.direct >= 800 && counts.relay >= 800, 'both verdicts are common')
  assert.ok(counts.direct + counts.relay >= 2_000)
})
