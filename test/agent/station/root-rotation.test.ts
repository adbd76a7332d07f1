import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { adopt } from '#agent/io/adopt.ts'
import { Identity } from '#agent/io/identity.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { bundleFile, encodeBundle } from '#shared/enrolment/unit-bundle.ts'
import { isAditError } from '#shared/errors.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { judgeServer } from '#shared/pki/server-trust.ts'
import { wallTime } from '#shared/time/instant.ts'
import { LineFixture } from './station-fixture.ts'

const phases = ['prepared', 'trusted', 'issuing', 'retired', 'finished'] as const
type Line = 'root' | 'device'

class RotatingLine {
  readonly line: LineFixture
  readonly stations: { path: string; made: string }[] = []
  #units = 0

  constructor(line: LineFixture) {
    this.line = line
  }

  async take(of: Line, phase: (typeof phases)[number]): Promise<void> {
    const { rotation } = this.line.fixture.authority
    if (phase === 'prepared') await rotation.prepare(of)
    else await rotation.advance(of, phase)
  }

  async newStation(made: string): Promise<void> {
    const number = this.stations.length
    this.stations.push({ path: await this.line.init({ name: `line-${number}`, names: `pump${number}-{n}` }), made })
  }

  /** A bundle of that station, adopted by a board that then speaks with the broker; which roots the board ends with. */
  async oneUnit(path: string, mode: 'online' | 'offline', what: string): Promise<void> {
    const serial = `sn-${this.#units++}`
    const station = await this.line.open(path, mode === 'offline' ? { mode } : {})
    await station.desk.open(serial, 'image')
    const bundle = await station.desk.bundle(serial)
    await station.desk.delivered(serial, 'test')
    assert.equal(station.desk.online, mode === 'online', what)
    // Under a retired CA only a unit that is known already may renew.
    await station.sync()
    await station.close()
    const [from, state] = [await this.line.folder(), await StateFolder.open(await this.line.folder())]
    await writeFile(join(from, bundleFile), encodeBundle(bundle, suite))
    assert.equal((await adopt({ from, folder: state, suite, board: undefined })).outcome, 'taken', what)
    const identity = (await Identity.load(state, this.line.ports()))!
    try {
      await identity.followRoots(await identity.api().config().catch(afterRenewal(identity)))
      assert.equal((await identity.api().config()).name, bundle.name, what)
      assert.ok(identity.roots.length > 0)
    } finally {
      identity.close()
    }
  }

  async everyStation(phase: string): Promise<void> {
    for (const { path, made } of this.stations)
      for (const mode of ['online', 'offline'] as const) await this.oneUnit(path, mode, `${phase}: made ${made}, ${mode}`)
  }
}

/** Under a CA that is retired by now one may renew, and nothing else. */
const afterRenewal = (identity: Identity) => async (error: unknown) => {
  if (!isAditError(error) || error.code !== 'certificate-refused') throw error
  await identity.renew()
  return identity.api().config()
}

for (const of of ['root', 'device'] as const)
  test(`P-17 the ${of} is rotated under a factory line: a bundle made in any phase, by a station made in any, is adopted and works`, async (t) => {
    const scene = new RotatingLine(await LineFixture.open(t))
    await scene.newStation('before')
    for (const phase of phases) {
      await scene.take(of, phase)
      await scene.newStation(phase)
      await scene.everyStation(phase)
    }
  })

test('P-17 both a root and then the device CA: a station that was asleep all the time goes on', async (t) => {
  const scene = new RotatingLine(await LineFixture.open(t))
  await scene.newStation('before')
  for (const of of ['root', 'device', 'root'] as const) for (const phase of phases) await scene.take(of, phase)
  await scene.everyStation('after all')
})

test('a station that has renewed under another root shows first the root that its own chain leads to', async (t) => {
  const scene = new RotatingLine(await LineFixture.open(t))
  await scene.newStation('before')
  const [{ path } = { path: '' }] = scene.stations
  for (const phase of phases) await scene.take('root', phase)
  scene.line.fixture.clock.forward(25 * 86_400_000)
  const { identity } = (await scene.line.open(path)).parts
  const chain = [...decodePem('CERTIFICATE', (await identity.folder.certificates())!.chain), ...identity.roots]
  assert.equal(identity.roots.length, 2)
  const rootFingerprint = suite.hash('sha256', identity.root)
  judgeServer(chain, 'line.local', { rootFingerprint, station: true }, wallTime(scene.line.fixture.clock.ms), suite)
})
