import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { stateFiles } from '#agent/io/state-folder.ts'
import { Authority } from '#broker/identity/authority.ts'
import type { Line } from '#broker/identity/succession.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { rootName } from '#shared/pki/root-succession.ts'
import { eventually } from '#test/broker/broker-fixture.ts'
import { type Board, LifeScene } from '#test/scenarios/life-scene.ts'

/** Whole agents and a whole broker: authorities are rotated while nobody could hear of it (P-17). */

const phases = ['prepared', 'trusted', 'issuing', 'retired', 'finished'] as const
const hints = { cpu: 'a'.repeat(64) }

async function rotate(authority: Authority, line: Line, upTo: (typeof phases)[number]): Promise<void> {
  const { rotation } = authority
  const from = rotation.rotation === undefined ? 0 : phases.indexOf(rotation.rotation.phase) + 1
  for (const phase of phases.slice(from, phases.indexOf(upTo) + 1))
    await (phase === 'prepared' ? rotation.prepare(line) : rotation.advance(line, phase))
}

const rootsOf = ({ path }: Board): string =>
  decodePem('CERTIFICATE', readFileSync(join(path, stateFiles.root), 'utf8'))
    .map((der) => rootName({ der }, suite))
    .join()

const trusted = ({ authority }: LifeScene): string => authority.standing.trustedRoots.map((root) => rootName(root, suite)).join()

for (const speaks of ['noise', 'esp'] as const)
  test(`P-17 a device that slept until its CA was retired renews when it wakes, and is up, in the ${speaks} suite`, async (t) => {
    const scene = new LifeScene(t)
    await scene.open()
    const board = await scene.board(t, 'pi', hints)
    board.speaks = speaks
    await board.on()
    await board.up()
    await board.off()
    await rotate(scene.authority, 'device', 'retired')
    await board.on()
    await eventually(() => board.heard('renewed'), 10_000, 'a certificate by the next CA')
    await board.up()
    await eventually(async () => (await board.api((api) => api.config())) === 'granted', 5_000, 'the API')
    assert.equal(await scene.audited('certificate.renew'), 1, 'once')
  })

test('P-17 a broker that was killed before it said that its root has changed says so when it is back, to whoever is still there', async (t) => {
  const scene = new LifeScene(t)
  await scene.open()
  const board = await scene.board(t, 'pi', hints)
  await board.on()
  await eventually(() => board.reports, 10_000, 'MQTT')
  for (const phase of ['trusted', 'issuing', 'retired', 'finished'] as const) {
    await scene.close()
    await rotate(await Authority.openOrCreate(join(scene.folder, 'data'), { suite, clock: scene.clock }), 'root', phase)
    await scene.open()
    await eventually(() => rootsOf(board) === trusted(scene), 20_000, `the roots of ${phase}`)
  }
})
