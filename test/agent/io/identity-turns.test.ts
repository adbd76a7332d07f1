import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { enrol } from '#agent/io/enrol.ts'
import { Identity } from '#agent/io/identity.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { isAditError } from '#shared/errors.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { rootName } from '#shared/pki/root-succession.ts'
import { nodeFiles } from '#shared/platform/files.ts'
import { silentLog } from '#shared/platform/log.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'
import { copyFolder } from '#test/lab/copy-folder.ts'

const phases = ['prepared', 'trusted', 'issuing', 'retired', 'finished'] as const

/** A broker's API, and one device that was enrolled before its root was rotated as far as `upTo`. */
async function rotated(t: TestContext, upTo: (typeof phases)[number]) {
  const fixture = await ApiFixture.open(t)
  const parent = await mkdtemp(join(tmpdir(), 'adit-turns-'))
  t.after(() => rm(parent, { recursive: true, force: true }))
  const ports = { suite, clock: fixture.clock, log: silentLog }
  const claim = async (name: string): Promise<string> => {
    const { id, secret } = await fixture.registry.claims.create({ role: 'device', name })
    return encodeClaim({ api: [fixture.api.url], ca: fixture.authority.rootFingerprint, id, secret, role: 'device' }, suite)
  }
  const first = join(parent, 'first')
  const enrolled = await enrol({ ...ports, folder: await StateFolder.open(first), token: await claim('pi'), role: 'device' })
  enrolled.close()
  const advance = async (to: typeof upTo): Promise<void> => {
    const { rotation } = fixture.authority
    await (to === 'prepared' ? rotation.prepare('root') : rotation.advance('root', to))
  }
  for (const phase of phases.slice(0, phases.indexOf(upTo) + 1)) await advance(phase)
  const load = async (path: string): Promise<Identity> => (await Identity.load(await StateFolder.open(path), ports))!
  const follow = async (identity: Identity): Promise<void> => {
    while (await identity.followRoots(await identity.api().config()));
  }
  const present = (): string => rootName({ der: fixture.authority.rootDer }, suite)
  const rootsOf = (identity: Identity): string[] => identity.roots.map((der) => rootName({ der }, suite))
  return { parent, first, claim, load, follow, advance, present, rootsOf }
}

/** The power goes at the rename of that number, counted from 0; returns whether it went, and how to have it back. */
function cutAt(number: number): { wasCut(): boolean; repair(): void } {
  const rename = nodeFiles.rename
  let left = number
  nodeFiles.rename = (from, to) => (left-- > 0 ? rename(from, to) : Promise.reject(new Error('the power is cut')))
  const repair = (): void => {
    nodeFiles.rename = rename
  }
  return { wasCut: () => left < 0, repair }
}

for (const upTo of ['trusted', 'retired', 'finished'] as const)
  test(`F-02 the power goes at any write of a device that follows the root as far as ${upTo}: it starts, and follows`, async (t) => {
    const scene = await rotated(t, upTo)
    let cuts = 0
    for (let number = 0; ; number++) {
      const path = join(scene.parent, `cut-${number}`)
      copyFolder(scene.first, path)
      const dying = await scene.load(path)
      const power = cutAt(number)
      await scene.follow(dying).catch(() => undefined)
      power.repair()
      dying.close()
      const after = await scene.load(path)
      await scene.follow(after)
      assert.equal(scene.rootsOf(after)[0], scene.present(), `after write ${number}`)
      assert.equal((await after.api().config()).name, 'pi', `after write ${number}`)
      after.close()
      if (!power.wasCut()) break
      cuts += 1
    }
    assert.ok(cuts >= 8, `${cuts} cuts`)
  })

test('a renewal and another root at one time: what is on the disk is whole, new in both, and the next start takes it', async (t) => {
  const scene = await rotated(t, 'trusted')
  for (const phase of ['issuing', 'retired'] as const) await scene.advance(phase)
  for (let delayed = 0; delayed < 12; delayed += 2) {
    const path = join(scene.parent, String(delayed))
    copyFolder(scene.first, path)
    const identity = await scene.load(path)
    const config = await identity.api().config()
    const before = await leafIn(identity)
    await withSlowRename(delayed, () => Promise.all([identity.renew(), identity.followRoots(config)]))
    const after = await scene.load(path)
    assert.deepEqual(scene.rootsOf(after), [scene.present()], `write ${delayed}`)
    assert.notEqual(await leafIn(after), before, `write ${delayed}: the renewed one`)
    assert.equal((await after.api().config()).name, 'pi')
    identity.close()
    after.close()
  }
})

test('what renews, or follows a root, while the folder becomes another device leaves nothing of its own in it', async (t) => {
  const scene = await rotated(t, 'retired')
  for (let delayed = 0; delayed < 16; delayed += 3) {
    const path = join(scene.parent, String(delayed))
    copyFolder(scene.first, path)
    const identity = await scene.load(path)
    const config = await identity.api().config()
    const token = await scene.claim(`pi-${delayed}`)
    const refused = (error: unknown): boolean => isAditError(error) && error.message.includes('another identity')
    const late = (error: unknown): void => assert.ok(refused(error), String(error))
    await withSlowRename(delayed, () =>
      Promise.all([identity.becomeAnother(token), identity.renew().catch(late), identity.followRoots(config).catch(late)]),
    )
    await assert.rejects(identity.renew(), refused)
    const after = await scene.load(path)
    assert.equal((await after.api().config()).name, `pi-${delayed}`)
    identity.close()
    after.close()
  }
})

const leafIn = async ({ folder }: Identity): Promise<string> =>
  toHex(decodePem('CERTIFICATE', (await folder.certificates())!.chain)[0]!)

/** The rename of that number takes until several others have had their turn. */
async function withSlowRename(number: number, work: () => Promise<unknown>): Promise<void> {
  const rename = nodeFiles.rename
  let at = 0
  nodeFiles.rename = async (from, to) => {
    if (at++ === number) await new Promise((resolve) => setTimeout(resolve, 30))
    return rename(from, to)
  }
  try {
    await work()
  } finally {
    nodeFiles.rename = rename
  }
}
