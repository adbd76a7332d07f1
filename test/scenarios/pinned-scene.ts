import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { type Device, Fleet, type Operator } from '#test/lab/fleet.ts'

const patienceMs = 60_000

export interface PinnedScene {
  fleet: Fleet
  /** The administrator, who holds the fleet key. */
  ada: Operator
  ann: Operator
  pump: Device
}

/** A pinned fleet with an echo at port 2323 of the pump, and ann, who may reach it; `grant`: further words of that grant. */
export async function pinnedScene(t: TestContext, grant: () => string[] = () => []): Promise<PinnedScene> {
  const fleet = await Fleet.start(t)
  const mirror = createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
  await once(mirror, 'listening')
  t.after(() => mirror.close())
  const { port } = mirror.address() as AddressInfo
  const ada = await fleet.operator('ada', '--admin')
  const { key } = JSON.parse(await ada.must(['fleet', 'init', '--json']))
  await fleet.admin('fleet', 'pin', key)
  const pump = await fleet.device('pump', { services: [`mirror:2323=127.0.0.1:${port}`], tags: ['lab'] })
  const ann = await fleet.operator('ann')
  await fleet.admin('grant', 'add', '--operator', 'ann', '--tag', 'lab', '--port', '2323', ...grant())
  await ada.must(['fleet', 'sign', '--yes'])
  const end = performance.now() + patienceMs
  while ((await pump.status<{ fleet: { grants: number } }>()).fleet.grants !== 1) {
    assert.ok(performance.now() < end, 'the grant is at the device')
    await wait(50)
  }
  return { fleet, ada, ann, pump }
}
