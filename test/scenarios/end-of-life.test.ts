import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { type Device, Fleet } from '#test/lab/fleet.ts'
import type { Program } from '#test/lab/program.ts'
import { pinnedScene } from './pinned-scene.ts'

/** A device's whole farewell, ms: every program of it shares two processors with others. */
const patienceMs = 60_000

interface Order {
  order: string
  device: string
  state: string
  kind: string
  ageSeconds: number
  evidence: { erased: number; left: string[]; signed: string } | null
}

/** Its exit status, once it has ended by itself. */
async function ended(program: Program): Promise<number | null> {
  const end = performance.now() + patienceMs
  while (program.running) {
    assert.ok(performance.now() < end, 'the agent ends by itself')
    await wait(20)
  }
  return program.stop()
}

const orderOf = async (fleet: Fleet, name: string): Promise<Order> => {
  const orders = await fleet.admin<Order[]>('device', 'orders')
  return orders.find(({ device }) => device === name) ?? assert.fail(`an order for ${name}`)
}

/** What is left in the state folder: the lock that the agent holds, and nothing of a fleet. */
const leftIn = ({ state }: Device): string[] => readdirSync(state).filter((name) => !name.startsWith('lock.'))

const actions = async (fleet: Fleet): Promise<string[]> =>
  (await fleet.adminSays('audit', '--limit', '200', '--json'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { action: string; subject: string })
    .filter(({ subject }) => subject === 'device:pump')
    .map(({ action }) => action)

test('wipe: a device in reach erases itself, says so under its key, and its name is free; the audit stays', async (t) => {
  const fleet = await Fleet.start(t)
  const pump = await fleet.device('pump', { tags: ['lab'] })
  await fleet.operator('ann')
  await fleet.grant('ann', 'pump', 22)
  const { program } = pump
  await fleet.admin('device', 'wipe', 'pump', '--reason', 'sent in for repair')
  await program.event(({ event }) => event === 'wiped', patienceMs)
  assert.equal(await ended(program), 0)
  assert.deepEqual(leftIn(pump), [])

  const done = await orderOf(fleet, 'pump')
  assert.equal(done.state, 'done')
  assert.ok(done.evidence && done.evidence.erased > 0, JSON.stringify(done))
  assert.deepEqual(done.evidence.left, [])
  const told = await actions(fleet)
  for (const action of ['device.wipe', 'device.wipe.done', 'device.revoke', 'device.retire', 'certificate.issue'])
    assert.ok(told.includes(action), `${action} in ${told}`)
  // The grant named the device alone: whoever has its name next must not inherit it.
  assert.deepEqual(await fleet.admin('grant', 'list'), [])
  assert.equal((await fleet.admin<unknown[]>('device', 'list')).length, 0)

  await pump.enrol(await fleet.claim('device', 'pump'))
  await pump.start()
  assert.equal((await fleet.admin<{ name: string }[]>('device', 'list'))[0]?.name, 'pump')
})

test('wipe under a pinned fleet key: what the broker alone orders is not done; what the administrator signs is', async (t) => {
  const { fleet, ada, pump } = await pinnedScene(t)
  const { program } = pump
  await fleet.admin('device', 'wipe', 'pump', '--reason', 'sold')
  assert.equal((await orderOf(fleet, 'pump')).state, 'unsigned')
  // A stolen broker signs with its own key, and says that this is the one that counts.
  await wait(2_000)
  assert.equal((await pump.status<{ fleet: { grants: number } }>()).fleet.grants, 1)
  assert.match(await fleet.adminSays('fleet', 'pending'), /ERASES its keys and everything of this fleet/)

  await ada.must(['fleet', 'sign', '--yes'])
  await program.event(({ event }) => event === 'wiped', patienceMs)
  assert.equal(await ended(program), 0)
  assert.deepEqual(leftIn(pump), [])
  assert.equal((await orderOf(fleet, 'pump')).state, 'done')
})

test('wipe of a device that was stolen, revoked and away: at its next contact, through a kill -9', async (t) => {
  const fleet = await Fleet.start(t)
  const pump = await fleet.device('pump')
  await pump.stop()
  await fleet.admin('device', 'revoke', 'pump')
  await fleet.admin('device', 'wipe', 'pump', '--reason', 'stolen')
  assert.equal((await orderOf(fleet, 'pump')).state, 'waiting')
  const first = pump.launch()
  await first.event(({ event }) => event === 'wiping', patienceMs)
  await pump.stop('SIGKILL')
  const second = pump.launch()
  await second.event(({ event }) => event === 'wiped', patienceMs)
  assert.equal(await ended(second), 0)
  assert.deepEqual(leftIn(pump), [])
  assert.equal((await orderOf(fleet, 'pump')).state, 'done')
})

test('transfer: a device leaves its fleet and joins that of the claim by itself, and keeps nothing of the old', async (t) => {
  const [old, next] = [await Fleet.start(t), await Fleet.start(t)]
  const pump = await old.device('pump', { tags: ['lab'] })
  const { program } = pump
  const oldRoot = readFileSync(join(pump.state, 'ca.pem'), 'utf8')
  const oldKey = readFileSync(join(pump.state, 'identity.key'), 'utf8')
  const claim = await next.claim('device', 'bought-pump')
  const transfer = await old.admin<{ handover: { name: string; tags: string[]; identityKeys: string[] } }>(
    ...['device', 'transfer', 'pump', '--claim', claim],
  )
  assert.deepEqual([transfer.handover.name, transfer.handover.tags], ['pump', ['lab']])
  assert.equal(transfer.handover.identityKeys.length, 1)
  await program.event(({ event, moves }) => event === 'wiped' && moves === true, patienceMs)
  await program.event(({ event, name }) => event === 'up' && name === 'bought-pump', patienceMs)

  for (const name of readdirSync(pump.state)) {
    if (/^lock\.|\.sock$|\.db/.test(name)) continue
    const content = readFileSync(join(pump.state, name), 'utf8')
    for (const trace of [oldRoot, oldKey, old.api, old.listen]) assert.equal(content.includes(trace), false, `${name}: ${trace}`)
  }
  assert.equal((await orderOf(old, 'pump')).state, 'done')
  assert.equal((await next.admin<{ name: string }[]>('device', 'list'))[0]?.name, 'bought-pump')
  assert.match(await old.refusedAdmin('device', 'transfer', 'pump', '--claim', await old.claim('device', 'x')), /this very fleet/)
})

test('retire: revoked, forgotten, its name free; a wipe that nobody has fetched can be called off', async (t) => {
  const fleet = await Fleet.start(t)
  const pump = await fleet.device('pump', { tags: ['lab'] })
  await pump.stop()
  await fleet.admin('device', 'wipe', 'pump', '--reason', 'a mistake')
  assert.equal((await fleet.admin<Order>('device', 'cancel-order', 'pump')).state, 'cancelled')
  assert.match(await fleet.refusedAdmin('device', 'cancel-order', 'pump'), /No order waits/)
  const gone = await fleet.admin('device', 'retire', 'pump', '--reason', 'scrapped')
  assert.equal(gone.readings, 0)
  assert.deepEqual(gone.tags, [])
  const told = await actions(fleet)
  for (const action of ['device.wipe.cancelled', 'device.revoke', 'device.retire']) assert.ok(told.includes(action), action)
  assert.match(await fleet.refusedAdmin('device', 'retire', 'nobody', '--reason', 'x'), /no device of the name nobody/)
  assert.match(await fleet.refusedAdmin('device', 'wipe', 'pump'), /reason/)
})
