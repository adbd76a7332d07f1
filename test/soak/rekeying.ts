import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inner, StrongswanGateway } from '#test/lab/strongswan-gateway.ts'

const minutes = Number(process.env.ADIT_SOAK_MINUTES ?? 60)
/** Ten packets a second, counted each minute. */
const perMinute = 600

/** P-27 at length: strongSwan and our endpoint renew both SAs every two or three seconds, both of them, and no inner packet is lost. */
test(`P-27 ${minutes} minutes of rekeying by both ends`, { timeout: (minutes + 5) * 60_000 }, async (t) => {
  const gateway = await StrongswanGateway.open(t)
  const caller = await gateway.callRekeying(t)
  let lost = 0
  for (let minute = 1; minute <= minutes; minute++) {
    lost += perMinute - (await caller.pings(inner[0]!, perMinute))
    t.diagnostic(`minute ${minute}: ${lost} lost, ${caller.association.counters.handshakes} renewals`)
    assert.equal(lost, 0, `in minute ${minute}`)
  }
  await gateway.settles()
  assert.deepEqual(caller.failures, [])
})
