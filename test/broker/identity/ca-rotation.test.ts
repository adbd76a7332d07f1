import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Authority } from '#broker/identity/authority.ts'
import { type Line, phases } from '#broker/identity/succession.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { isAditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { judgeServer, type Trust } from '#shared/pki/server-trust.ts'
import { nodeFiles } from '#shared/platform/files.ts'
import { days, instant, wallTime } from '#shared/time/instant.ts'
import { codeOfRefusal } from '#test/broker/identity/refusal.ts'
import { dyingDisk } from '#test/shared/platform/dying-disk.ts'

const begin = wallTime(Date.UTC(2026, 5, 1))
const clock = { now: () => instant(0), wall: () => begin }
const steps = ['trusted', 'issuing', 'retired', 'finished'] as const

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'adit-rotation-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

const open = (dir: string): Promise<Authority> => Authority.openOrCreate(dir, { suite, clock })
const newSpki = (): Uint8Array => p256Spki(suite.ecdsaP256.generate().publicKey)
const leafOf = async (authority: Authority): Promise<Uint8Array> =>
  (await authority.issue({ role: 'device', name: 'pi', spki: newSpki() })).der
const serverChain = (authority: Authority): Uint8Array[] => decodePem('CERTIFICATE', authority.tls.cert)

/** Whether who trusts that takes the broker for the broker. */
function isProven(authority: Authority, trust: Trust): boolean {
  try {
    judgeServer(serverChain(authority), 'localhost', trust, begin, suite)
    return true
  } catch {
    return false
  }
}

/** What a peer's certificate is worth: everything, a renewal, or nothing. */
function worth(authority: Authority, leaf: Uint8Array): 'full' | 'renews' | 'nothing' {
  const judged = (allowExpiredDays?: number) =>
    authority.verifyPeer([leaf], begin, allowExpiredDays === undefined ? {} : { allowExpiredDays })
  try {
    return judged().expired ? 'renews' : 'full'
  } catch {
    try {
      return judged(400).expired ? 'renews' : 'full'
    } catch {
      return 'nothing'
    }
  }
}

async function rotate(authority: Authority, line: Line, upTo: (typeof steps)[number] = 'finished'): Promise<void> {
  await authority.rotation.prepare(line)
  for (const step of steps) {
    await authority.rotation.advance(line, step)
    if (step === upTo) return
  }
}

test('P-17 a role CA is rotated: what each phase believes, who issues in it, and back again from each', async (t) => {
  const dir = await folder(t)
  let authority = await open(dir)
  const old = await leafOf(authority)
  const [oldIssuer] = authority.chainOf('device')
  const expected = {
    prepared: ['full', 'nothing', 'old'],
    trusted: ['full', 'full', 'old'],
    issuing: ['full', 'full', 'next'],
    retired: ['renews', 'full', 'next'],
  } as const
  let next: Uint8Array | undefined
  const look = (phase: keyof typeof expected): void => {
    const [oldWorth, nextWorth, issuer] = expected[phase]
    assert.equal(authority.rotation.rotation?.phase, phase)
    assert.equal(worth(authority, old), oldWorth, phase)
    if (next) assert.equal(worth(authority, next), nextWorth, phase)
    assert.equal(Buffer.compare(authority.chainOf('device')[0]!, oldIssuer!) === 0, issuer === 'old', phase)
    assert.ok(isProven(authority, { rootDer: authority.rootDer }))
  }
  await authority.rotation.prepare('device')
  look('prepared')
  for (const phase of ['trusted', 'issuing', 'retired'] as const) {
    await authority.rotation.advance('device', phase)
    if (phase === 'issuing') next = await leafOf(authority)
    look(phase)
  }
  for (const phase of ['issuing', 'trusted', 'prepared'] as const) {
    await authority.rotation.rollBack('device')
    authority = await open(dir)
    look(phase)
  }
  await authority.rotation.rollBack('device')
  assert.equal(authority.rotation.rotation, undefined)
  assert.deepEqual([worth(authority, old), worth(authority, next!)], ['full', 'nothing'])
  assert.ok(!(await readdir(join(dir, 'ca'))).some((name) => /^device-.*\.key$/.test(name)), 'the key that was given up is gone')

  await rotate(authority, 'device')
  assert.ok(!(await readdir(join(dir, 'ca'))).includes('device.key'), "the former one's key is destroyed")
  authority = await open(dir)
  assert.deepEqual([worth(authority, old), worth(authority, await leafOf(authority))], ['renews', 'full'])
})

test('a CA whose key was lost to a stranger does not even let its holders renew', async (t) => {
  const authority = await open(await folder(t))
  const old = await leafOf(authority)
  await rotate(authority, 'device', 'issuing')
  await authority.rotation.advance('device', 'retired', { compromised: true })
  assert.equal(worth(authority, old), 'nothing')
  assert.throws(() => authority.judgeIkePeer([old]))
  await authority.rotation.advance('device', 'finished')
  assert.equal(worth(authority, old), 'nothing')
})

test('over IKE a retired CA is not believed though its peer sends it along, and the root still is', async (t) => {
  const authority = await open(await folder(t))
  const old = await authority.issue({ role: 'device', name: 'pi', spki: newSpki(), ipsec: true })
  const [issuer] = authority.chainOf('device')
  assert.equal(authority.judgeIkePeer([old.der, issuer!]).peer.name, 'pi')
  await rotate(authority, 'device', 'retired')
  assert.equal(
    codeOfRefusal(() => authority.verifyPeer([old.der], begin)),
    'issuer-unknown',
  )
  assert.throws(() => authority.judgeIkePeer([old.der, issuer!]), /retired/)
})

test('the phases come one by one, for one authority at a time, and asking twice changes nothing', async (t) => {
  const authority = await open(await folder(t))
  const refused = (error: unknown): boolean => isAditError(error) && error.code === 'ca-phase' && error.mend.length > 0
  await assert.rejects(authority.rotation.advance('device', 'trusted'), refused)
  await assert.rejects(authority.rotation.rollBack('device'), refused)
  await authority.rotation.prepare('device')
  await authority.rotation.prepare('device')
  await assert.rejects(authority.rotation.prepare('operator'), refused)
  await assert.rejects(authority.rotation.prepare('root'), refused)
  await assert.rejects(authority.rotation.advance('device', 'issuing'), refused)
  await assert.rejects(authority.rotation.advance('root', 'trusted'), refused)
  const told: number[] = []
  authority.onChange(() => told.push(1))
  await Promise.all([1, 2, 3].map(() => authority.rotation.advance('device', 'trusted')))
  assert.equal(told.length, 1)
})

test('P-17 the root is rotated four times: who trusts any of them finds the present one, and leaves stay good', async (t) => {
  const dir = await folder(t)
  let authority = await open(dir)
  const leaf = await leafOf(authority)
  const fleet = authority.fleetId
  const ikeName = authority.ike.id
  const pins = [Uint8Array.from(authority.rootDer)]
  for (let i = 0; i < 4; i++) {
    await rotate(authority, 'root')
    authority = await open(dir)
    pins.push(Uint8Array.from(authority.rootDer))
    for (const pin of pins) {
      assert.ok(isProven(authority, { rootDer: pin }), `rotation ${i + 1}`)
      assert.ok(isProven(authority, { rootFingerprint: suite.hash('sha256', pin) }), 'a claim printed before')
    }
    assert.equal(worth(authority, leaf), 'full')
    assert.deepEqual(authority.fleetId, fleet)
    assert.deepEqual(fleetIdOf(parseCertificate(authority.rootDer), suite), fleet)
    assert.equal(authority.ike.id, ikeName)
  }
  assert.equal(new Set(pins.map((pin) => Buffer.from(pin).toString('hex'))).size, 5)
  const stranger = await open(await folder(t))
  assert.ok(!isProven(authority, { rootDer: stranger.rootDer }))
})

test('P-17 a root rotation goes back from every phase: who knows either root alone still finds the broker', async (t) => {
  const dir = await folder(t)
  let authority = await open(dir)
  const oldPin = { rootDer: Uint8Array.from(authority.rootDer) }
  await rotate(authority, 'root', 'retired')
  const newPin = { rootDer: Uint8Array.from(authority.rootDer) }
  const leaf = await leafOf(authority)
  for (const phase of ['issuing', 'trusted'] as const) {
    await authority.rotation.rollBack('root')
    authority = await open(dir)
    assert.equal(authority.rotation.rotation?.phase, phase)
    assert.ok(isProven(authority, oldPin), phase)
    assert.ok(isProven(authority, newPin), phase)
    assert.equal(worth(authority, leaf), 'full')
  }
  await authority.rotation.rollBack('root')
  await authority.rotation.rollBack('root')
  authority = await open(dir)
  assert.equal(authority.rotation.rotation, undefined)
  assert.ok(isProven(authority, oldPin))
  assert.ok(!isProven(authority, newPin), 'given up')
  assert.equal(worth(authority, leaf), 'full')
  assert.deepEqual(
    (await readdir(join(dir, 'ca'))).filter((name) => name.includes('root-')),
    [],
  )
})

/** Every so many operations of the disk the power goes; 1, all, is what ADIT_EVERY_CUT asks for, and takes minutes. */
const strides: Record<string, number> = { 'a role': 7, 'a root': 11, 'there and back': 23, 'a request': 2 }

const scripts: Record<string, (authority: Authority) => Promise<void>> = {
  'a role': (authority) => rotate(authority, 'device'),
  'a root': (authority) => rotate(authority, 'root'),
  'there and back': async (authority) => {
    await rotate(authority, 'root', 'retired')
    for (const _phase of phases) await authority.rotation.rollBack('root')
  },
  'a request': async (authority) => {
    await authority.rotation.request('operator')
    await authority.rotation.rollBack('operator')
  },
}

for (const [what, script] of Object.entries(scripts)) {
  test(`F-02 a power cut at any write of ${what}: the authority is whole, and goes on`, async (t) => {
    const parent = await folder(t)
    const first = await open(join(parent, 'first'))
    const leaf = await leafOf(first)
    const pin = { rootDer: Uint8Array.from(first.rootDer) }
    let cuts = 0
    const stride = process.env.ADIT_EVERY_CUT ? 1 : strides[what]!
    for (let cutAt = 0; ; cutAt += stride) {
      const dir = join(parent, String(cutAt))
      await cp(join(parent, 'first'), dir, { recursive: true })
      const { port, cut } = dyingDisk(cutAt)
      const dying = await Authority.openOrCreate(dir, { suite, clock, files: port }).catch(() => undefined)
      await (dying && script(dying).catch(() => undefined))
      const after = await open(dir)
      assert.notEqual(worth(after, leaf), 'nothing', `after operation ${cutAt}`)
      assert.equal(worth(after, await leafOf(after)), 'full')
      assert.ok(isProven(after, pin), `after operation ${cutAt}`)
      const { rotation } = after.rotation
      if (rotation) {
        // From wherever it stopped it ends both ways.
        if (cutAt % 2 === 0)
          for (let i = phases.indexOf(rotation.phase); i >= 0; i--) await after.rotation.rollBack(rotation.line)
        else for (const step of steps.slice(phases.indexOf(rotation.phase))) await after.rotation.advance(rotation.line, step)
        assert.equal((await open(dir)).rotation.rotation, undefined)
        assert.ok(isProven(after, pin))
      }
      assert.equal(after.standing.authorities.filter(({ word }) => word === 'full').length, 4)
      await rm(dir, { recursive: true, force: true })
      if (!cut()) break
      cuts += 1
    }
    assert.ok(cuts > 10, `${cuts} cuts`)
    t.diagnostic(`${cuts} cuts`)
  })
}

test('a step whose disk fails once it is written is followed in all when it is asked for again', async (t) => {
  let isFull = false
  const rename: typeof nodeFiles.rename = (from, to) =>
    isFull && to.endsWith('server.pem')
      ? Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }))
      : nodeFiles.rename(from, to)
  const files = Object.assign(Object.create(nodeFiles), { rename }) as typeof nodeFiles
  const authority = await Authority.openOrCreate(await folder(t), { suite, clock, files })
  await rotate(authority, 'root', 'trusted')
  const told: number[] = []
  authority.onChange(() => told.push(1))
  isFull = true
  await assert.rejects(authority.rotation.advance('root', 'issuing'), (error) => isAditError(error) && error.code === 'disk-full')
  assert.deepEqual([authority.rotation.rotation?.phase, told.length], ['issuing', 0], 'written, and not whole')
  isFull = false
  await authority.rotation.advance('root', 'issuing')
  const shown = serverChain(authority).map((der) => toHex(der))
  assert.ok(shown.includes(toHex(authority.standing.issuingRoot.der)), 'the API shows the root that issues')
  assert.equal(told.length, 1)
})

test('F-32 certificates of authorities and leaves live beyond 2038 and 2050', async (t) => {
  const at = wallTime(Date.UTC(2049, 11, 1))
  const late = { now: () => instant(0), wall: () => at }
  const authority = await Authority.openOrCreate(await folder(t), { suite, clock: late })
  await rotate(authority, 'root')
  await rotate(authority, 'device')
  const root = parseCertificate(authority.rootDer)
  assert.ok(root.notAfter > Date.UTC(2069, 0))
  const { der } = await authority.issue({ role: 'device', name: 'pi', spki: newSpki(), days: 60 })
  assert.ok(parseCertificate(der).notAfter > Date.UTC(2050, 0, 20))
  assert.equal(authority.verifyPeer([der], wallTime(at + days(59))).name, 'pi')
})
