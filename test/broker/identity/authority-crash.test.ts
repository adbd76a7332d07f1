import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Authority } from '#broker/identity/authority.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { instant, wallTime } from '#shared/time/instant.ts'
import { dyingDisk } from '#test/shared/platform/dying-disk.ts'

const begin = Date.UTC(2026, 5, 1)
const clock = { now: () => instant(0), wall: () => wallTime(begin) }

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'adit-authority-crash-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

test('F-02 a power cut at any write of the first run leaves no authority or a whole one', async (t) => {
  const parent = await folder(t)
  let cuts = 0
  for (let cutAt = 0; ; cutAt++) {
    const dir = join(parent, String(cutAt))
    const { port, cut } = dyingDisk(cutAt)
    const first = await Authority.openOrCreate(dir, { suite, clock, files: port }).catch(() => undefined)
    const second = await Authority.openOrCreate(dir, { suite, clock })
    const issued = await second.issue({ role: 'device', name: 'pi', spki: p256Spki(suite.ecdsaP256.generate().publicKey) })
    assert.equal(second.verifyPeer([issued.der], wallTime(begin)).name, 'pi', `after operation ${cutAt}`)
    if (first !== undefined) {
      assert.deepEqual(second.rootDer, first.rootDer)
      assert.deepEqual(second.tunnelKey, first.tunnelKey)
    }
    if (!cut()) break
    assert.equal(first, undefined)
    cuts += 1
  }
  assert.ok(cuts > 50, `${cuts} cuts`)
})
