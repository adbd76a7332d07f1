import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { Authority } from '#broker/identity/authority.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { Cli } from './cli-fixture.ts'

interface Status {
  root: { fingerprint: string; key: string; trusted: string[]; list: { until: string; revoked: number } | null }
  authorities: { role: string; name: string; issues: boolean; word: string; holders: number }[]
  rotation: { line: string; phase: string; behind: number; asleep: number } | null
  advice: string[]
  due: boolean
}

const cli = new Cli()
const phases = ['prepared', 'trusted', 'issuing', 'retired', 'finished'] as const
const open = (data: string): Promise<Authority> => Authority.openOrCreate(data, { suite, clock: systemClock })

/** A device of the registry with a certificate by the CA that issues now; `asleep`: which has ended. */
async function enrolDevice(data: string, { asleep = false } = {}): Promise<void> {
  const authority = await open(data)
  const registry = await Registry.open(data, { suite, clock: systemClock, log: silentLog })
  const { id, secret } = await registry.claims.create({ role: 'device', name: 'pi-{n}' })
  const spki = p256Spki(suite.ecdsaP256.generate().publicKey)
  const spkiSha256 = Buffer.from(suite.hash('sha256', spki)).toString('hex')
  const { principal } = await registry.claims.redeem({
    id: Buffer.from(id).toString('hex'),
    secret: Buffer.from(secret),
    spkiSha256,
  })
  const issued = await authority.issue({ role: 'device', name: principal.name, spki })
  const notAfter = asleep ? systemClock.wall() - 1 : issued.notAfter
  await registry.certificates.record({ ...issued, notAfter, principalId: principal.id })
  await registry.close()
}

test('a role CA is rotated by hand, phase by phase and back, and status says what comes next', async () => {
  const data = cli.fresh()
  const said = async (...words: string[]): Promise<Status> => cli.json<Status>('ca', ...words, '--data', data)
  await cli.json('ca', 'show', '--data', data)
  const still = await said('status')
  assert.deepEqual([still.rotation, still.advice, still.due, still.root.key], [null, [], false, 'here'])
  assert.equal((await cli.run('ca', 'status', '--check', '--data', data)).status, 0)
  for (const phase of phases.slice(0, 4)) {
    const after = await said('rotate', 'device')
    assert.equal(after.rotation?.phase, phase)
    assert.match(after.advice.join(), /adit-broker ca rotate device --phase/)
    assert.match(after.advice.join(), /adit-broker ca rollback device/)
  }
  const due = await cli.run('ca', 'status', '--check', '--data', data)
  assert.equal(due.status, 3)
  assert.match(due.err, /ca-due/)
  for (const phase of ['issuing', 'trusted', 'prepared', undefined])
    assert.equal((await said('rollback', 'device')).rotation?.phase, phase)
  const skipped = await cli.run('ca', 'rotate', 'device', '--phase', 'issuing', '--data', data)
  assert.equal(skipped.status, 3)
  assert.match(skipped.err, /ca-phase/)
  const human = await cli.run('ca', 'status', '--data', data)
  assert.match(human.out, /Nothing need be done/)
})

test('nobody is left behind unless a person says so', async () => {
  const data = cli.fresh()
  await cli.json('ca', 'show', '--data', data)
  await enrolDevice(data)
  await enrolDevice(data, { asleep: true })
  assert.match((await cli.run('ca', 'status', '--data', data)).out, /^device .* issues, 2 hold \(1 asleep\)$/m)
  for (let i = 0; i < 3; i++) await cli.json('ca', 'rotate', 'device', '--data', data)
  const early = await cli.run('ca', 'rotate', 'device', '--phase', 'retired', '--data', data)
  assert.deepEqual([early.status, /2 hold.*, 1 of them asleep/.test(early.err)], [3, true], early.err)
  await enrolDevice(data)
  await cli.json('ca', 'rollback', 'device', '--data', data)
  const back = await cli.run('ca', 'rollback', 'device', '--data', data)
  assert.deepEqual([back.status, /1 hold/.test(back.err)], [3, true], back.err)
  await cli.json('ca', 'rotate', 'device', '--data', data)
  const status = await cli.json<Status>('ca', 'rotate', 'device', '--phase', 'retired', '--force', '--data', data)
  assert.deepEqual([status.rotation?.phase, status.rotation?.behind, status.rotation?.asleep], ['retired', 2, 1])
  assert.match(status.advice.join(), /2 have not moved yet, 1 of them asleep/)
  const audit = await cli.run('audit', '--data', data)
  assert.match(audit.out, /ca\.rotate/)
})

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const needsOpenssl = { skip: !hasOpenssl && 'openssl is not installed' }

test('the root goes offline: openssl reads its file, and CAs and roots are then signed from files', needsOpenssl, async () => {
  const data = cli.fresh()
  const place = cli.fresh('stick')
  await cli.json('ca', 'show', '--data', data)
  const file = (name: string): string => `${place}-${name}`
  await writeFile(file('words'), 'correct horse\n')
  const exported = await cli.runWith('correct horse\n', 'ca', 'root', 'export', '--out', file('root'), '--data', data, '--json')
  assert.equal(exported.status, 0, exported.err)
  assert.equal((JSON.parse(exported.out) as Status).root.key, 'offline')
  assert.ok(!(await readdir(join(data, 'ca'))).includes('root.key'))
  assert.equal((await stat(file('root'))).mode & 0o777, 0o600)
  const key = execFileSync('openssl', ['pkcs8', '-in', file('root'), '-passin', 'pass:correct horse', '-topk8', '-nocrypt'])
  assert.match(key.toString(), /BEGIN PRIVATE KEY/)
  assert.notEqual(spawnSync('openssl', ['pkcs8', '-in', file('root'), '-passin', 'pass:wrong']).status, 0)
  const twice = await cli.runWith('x\n', 'ca', 'root', 'export', '--out', file('root2'), '--data', data)
  assert.match(twice.err, /ca-offline/)

  const alone = await cli.run('ca', 'rotate', 'device', '--data', data)
  assert.deepEqual([alone.status, /ca request --role device/.test(alone.err)], [4, true])
  await cli.json('ca', 'request', '--role', 'device', '--out', file('req'), '--data', data)
  assert.equal(spawnSync('openssl', ['req', '-in', file('req'), '-noout', '-verify']).status, 0)
  const sign = ['ca', 'sign', '--passphrase-file', file('words')]
  const wrong = await cli.runWith('no\n', 'ca', 'sign', '--root', file('root'), '--in', file('req'), '--out', file('x'))
  assert.equal(wrong.status, 3)
  assert.equal((await cli.run(...sign, '--root', file('root'), '--in', file('req'), '--out', file('ans'))).status, 0)
  const installed = await cli.json<Status>('ca', 'install', file('ans'), '--data', data)
  assert.equal(installed.rotation?.phase, 'prepared')
  for (const phase of phases.slice(1)) await cli.json('ca', 'rotate', 'device', '--phase', phase, '--data', data)
  const again = await cli.run('ca', 'install', file('ans'), '--data', data)
  assert.match(again.err, /no request of this broker waits/)

  await cli.json('ca', 'request', '--role', 'root', '--out', file('rootreq'), '--data', data)
  const words = ['--root', file('root'), '--new-root', file('next'), '--in', file('rootreq'), '--out', file('rootans')]
  assert.equal((await cli.run(...sign, ...words)).status, 0)
  const answer = await readFile(file('rootans'), 'utf8')
  const forged = decodePem('CERTIFICATE', answer).map((der, at) => {
    const bytes = Uint8Array.from(der)
    if (at === 1) bytes[bytes.length - 1]! ^= 1
    return encodePem('CERTIFICATE', bytes)
  })
  await writeFile(file('forged'), forged.join(''))
  assert.match((await cli.run('ca', 'install', file('forged'), '--data', data)).err, /request-refused/)
  await cli.json('ca', 'install', file('rootans'), '--data', data)
  for (const phase of phases.slice(1)) await cli.json('ca', 'rotate', 'root', '--phase', phase, '--data', data)
  const end = await cli.json<Status>('ca', 'status', '--data', data)
  assert.notEqual(end.root.fingerprint, installed.root.fingerprint)
  assert.equal(end.root.key, 'offline')
})

test(
  'the list of revoked CAs of a root that is offline: asked for, signed from the file, judged, and openssl refuses what it names',
  needsOpenssl,
  async () => {
    const data = cli.fresh()
    const place = cli.fresh('stick')
    const file = (name: string): string => `${place}-${name}`
    await writeFile(`${data}.toml`, '[pki]\nurl = "http://pki.example/"\n')
    const at = ['--data', data, '--config', `${data}.toml`]
    await cli.json('ca', 'show', ...at)
    const openssl = (...words: string[]): { status: number | null; said: string } => {
      const { status, stdout, stderr } = spawnSync('openssl', words, { encoding: 'utf8' })
      return { status, said: stdout + stderr }
    }
    const deviceCa = openssl('x509', '-in', join(data, 'ca/device.pem'), '-noout', '-text').said
    assert.match(deviceCa, /URI:http:\/\/pki\.example\/pki\/root\.crl/)
    assert.match(deviceCa, /CA Issuers - URI:http:\/\/pki\.example\/pki\/root\.crt/)
    assert.equal((await cli.runWith('words\n', 'ca', 'root', 'export', '--out', file('root'), ...at)).status, 0)
    const verify = () =>
      openssl(
        'verify',
        '-crl_check',
        '-CAfile',
        join(data, 'ca/root.pem'),
        '-CRLfile',
        join(data, 'ca/root.crl'),
        join(data, 'ca/device.pem'),
      )
    assert.equal(verify().status, 0, verify().said)

    // The key of the device CA is lost while the root is in the safe.
    await writeFile(file('words'), 'words\n')
    const sign = ['ca', 'sign', '--passphrase-file', file('words'), '--root', file('root')]
    const asked = await cli.run('ca', 'request', '--role', 'device', '--out', file('req'), ...at)
    assert.match(asked.err, /ca sign --root ROOT --pki-url http:\/\/pki\.example\/ --in/)
    const bad = await cli.run(...sign, '--pki-url', 'ftp://x', '--in', file('req'), '--out', file('ans'))
    assert.deepEqual([bad.status, /no place for lists/.test(bad.err)], [2, true], bad.err)
    assert.equal(
      (await cli.run(...sign, '--pki-url', 'http://pki.example/', '--in', file('req'), '--out', file('ans'))).status,
      0,
    )
    assert.match(openssl('x509', '-in', file('ans'), '-noout', '-text').said, /URI:http:\/\/pki\.example\/pki\/root\.crl/)
    await cli.json('ca', 'install', file('ans'), ...at)
    for (const phase of ['trusted', 'issuing']) await cli.json('ca', 'rotate', 'device', '--phase', phase, ...at)
    await cli.json('ca', 'request', '--role', 'crl', '--out', file('before.req'), ...at)
    const before = await cli.json<Status>('ca', 'rotate', 'device', '--phase', 'retired', '--compromised', ...at)
    assert.match(before.advice.join(), /does not name adit device CA [0-9a-f]{8}: adit-broker ca request --role crl/)
    assert.equal(before.due, true)
    assert.equal(verify().status, 0, 'nobody has signed it yet')

    await cli.json('ca', 'request', '--role', 'crl', '--out', file('crl.req'), ...at)
    const signed = await cli.run(...sign, '--in', file('crl.req'), '--out', file('crl'))
    assert.match(signed.err, /Signed: the list of revoked CAs of this root \(adit device CA [0-9a-f]{8}, revoked\)/)
    await cli.run(...sign, '--in', file('before.req'), '--out', file('before.crl'))
    const early = await cli.run('ca', 'install', file('before.crl'), ...at)
    assert.deepEqual([early.status, /does not name the CAs that are revoked now/.test(early.err)], [3, true], early.err)
    const der = decodePem('X509 CRL', await readFile(file('crl'), 'utf8'))[0]!
    der[der.length - 1]! ^= 1
    await writeFile(file('forged'), encodePem('X509 CRL', der))
    assert.match((await cli.run('ca', 'install', file('forged'), ...at)).err, /not by the root of this fleet/)
    await writeFile(file('cut'), encodePem('X509 CRL', der.subarray(0, 50)))
    assert.match((await cli.run('ca', 'install', file('cut'), ...at)).err, /request-refused/)
    const after = await cli.json<Status>('ca', 'install', file('crl'), ...at)
    assert.equal(after.root.list?.revoked, 1)
    assert.doesNotMatch(after.advice.join(), /list of revoked CAs/)
    assert.match(verify().said, /certificate revoked/)
    assert.match(openssl('crl', '-in', join(data, 'ca/root.crl'), '-noout', '-text').said, /CA Compromise/)
    assert.match((await cli.run('ca', 'status', ...at)).out, /list of 1 revoked CAs, until 20/)

    // Another fleet's root answers nothing here, and signs nothing of ours.
    const other = cli.fresh()
    await cli.runWith('words\n', 'ca', 'root', 'export', '--out', file('other'), '--data', other)
    const strange = await cli.run(...sign, '--root', file('other'), '--in', file('crl.req'), '--out', file('strange'))
    assert.deepEqual([strange.status, /another root/.test(strange.err)], [3, true], strange.err)
  },
)

test(
  'A-33 P-17 openssl proves every chain in every phase of a root rotation: old and new pins, old and new leaves',
  needsOpenssl,
  async () => {
    const data = cli.fresh()
    const first = await open(data)
    const dir = join(data, 'judge')
    execFileSync('mkdir', [dir])
    const put = async (name: string, ders: readonly Uint8Array[]): Promise<void> =>
      writeFile(join(dir, name), ders.map((der) => encodePem('CERTIFICATE', der)).join(''))
    const leaf = async (authority: Authority): Promise<Uint8Array> =>
      (await authority.issue({ role: 'device', name: 'pi', spki: p256Spki(suite.ecdsaP256.generate().publicKey) })).der
    await put('root1.pem', [first.rootDer])
    const oldLeaf = await leaf(first)
    await put('old.pem', [oldLeaf])
    const verify = (root: string, helpers: string, purpose: string, name: string): boolean =>
      spawnSync('openssl', ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', root, '-untrusted', helpers, name], {
        cwd: dir,
      }).status === 0
    for (const line of ['root', 'device', 'root'] as const) {
      for (const phase of phases) {
        await cli.json('ca', 'rotate', line, '--phase', phase, '--force', '--data', data)
        const now = await open(data)
        const { issuingRoot } = now.standing
        await put('root.pem', [issuingRoot.der])
        await put(
          'cas.pem',
          now.cacerts().filter((der) => Buffer.compare(der, issuingRoot.der) !== 0),
        )
        await put('new.pem', [await leaf(now)])
        await writeFile(join(dir, 'server.pem'), now.tls.cert)
        const where = `${line} ${phase}`
        assert.ok(verify('root.pem', 'cas.pem', 'sslclient', 'new.pem'), where)
        assert.ok(verify('root1.pem', 'cas.pem', 'sslclient', 'new.pem'), `${where}, by the first root`)
        assert.ok(verify('root.pem', 'server.pem', 'sslserver', 'server.pem'), where)
        assert.ok(verify('root1.pem', 'server.pem', 'sslserver', 'server.pem'), `${where}, by the first root`)
        const isRetired = now.standing.authorities.some(({ role, word }) => role === 'device' && word === 'renews')
        assert.equal(verify('root1.pem', 'cas.pem', 'sslclient', 'old.pem'), !isRetired, `${where}, a leaf of before`)
      }
    }
  },
)
