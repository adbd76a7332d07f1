/** Issue 6, parts 2, 6, 8 and 10: every way by which a board gets its identity, where the key is made on the board: in a token. Needs root. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { issueIdevid } from '#agent/factory/factory-certificates.ts'
import { askForVoucher } from '#agent/io/ask-for-voucher.ts'
import { installIdevid, readBoardIdentity } from '#agent/io/board-identity.ts'
import { makeBoardKey } from '#agent/io/board-key.ts'
import { followVoucher } from '#agent/io/board-owner.ts'
import { enrol } from '#agent/io/enrol.ts'
import { Floors } from '#agent/io/floors.ts'
import { Identity } from '#agent/io/identity.ts'
import { closeTokens, destroyTokenKey, hasTokenKey, makeTokenKey, openTokenKey } from '#agent/io/key-token.ts'
import { leaveFleet } from '#agent/io/leave-fleet.ts'
import { NextIdentity } from '#agent/io/next-identity.ts'
import { noProxy } from '#agent/io/outer-proxy.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { boardKeyLabel, parseTokenUri, type TokenPlace } from '#agent/io/token-place.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { verifyRequest } from '#shared/pki/request.ts'
import { silentLog } from '#shared/platform/log.ts'
import { days } from '#shared/time/instant.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'
import { eventually } from '#test/broker/broker-fixture.ts'
import { own } from '#test/broker/factory/board-fixture.ts'
import { Factory } from '#test/lab/factory.ts'
import { Device } from '#test/lab/fleet.ts'
import { type HardwareToken, makeToken, type TokenKind, userPin } from '#test/lab/hardware-token.ts'
import { run, runCommand } from '#test/lab/program.ts'
import { SerialCable } from '#test/lab/serial-cable.ts'
import { BuiltFactory } from '#test/shared/enrolment/built-board.ts'
import { now } from '#test/shared/pki/built-chain.ts'

const checkout = join(import.meta.dirname, '..', '..')
const agent = `${process.execPath} --import tsx ${join(checkout, 'agent/device/main.ts')}`

/** The state folder holds no private identity key, and the certificate is for the one in the token. */
async function keyIsInToken(state: string, place: TokenPlace): Promise<void> {
  for (const name of readdirSync(state)) {
    if (name.startsWith('tunnel') || name.endsWith('.db')) continue
    assert.doesNotMatch(readFileSync(join(state, name), 'latin1'), /PRIVATE KEY/, name)
  }
  const [leaf] = decodePem('CERTIFICATE', readFileSync(join(state, 'certificate.pem'), 'latin1'))
  const { publicKey } = await openTokenKey(place, suite)
  assert.ok(equalPublic(parseCertificate(leaf!).spki, p256Spki(publicKey)))
  closeTokens()
}

for (const kind of ['SoftHSM', 'TPM'] as const satisfies TokenKind[])
  describe(`keys in hardware by every way: ${kind}`, () => {
    const endings: (() => unknown)[] = []
    const scope = { after: (ending: () => unknown) => void endings.push(ending) }
    let token: HardwareToken
    let factory: Factory

    before(async () => {
      token = await makeToken(kind, scope)
      factory = await Factory.open(scope)
    })
    after(async () => {
      for (const ending of endings.reverse()) await ending()
    })

    const uri = (label: string): string => token.uri.replace('unit-key', label)
    /** Another power-on: what a TPM without a resource manager had loaded goes with its power. */
    const rest = async (): Promise<void> => {
      closeTokens()
      if (kind === 'SoftHSM') return
      await token.remove()
      await token.putBack()
    }

    test('network: a board of the LAN makes its key in the token, and the station certifies it', async () => {
      const line = factory.start('run', '--listen', '127.0.0.1:0', '--admit')
      scope.after(() => line.stop())
      const said = await factory.tokenOf(line)
      const state = join(factory.fleet.folder, 'lan-board')
      const words = ['enrol', '--line', '-', '--serial', 'lan-board', '--state', state, '--json', '--pkcs11', uri('lan')]
      const enrolled = await run('adit-agent', words, { input: said, timeoutMs: 120_000 })
      assert.equal(enrolled.status, 0, enrolled.stderr)
      await line.stop()
      await factory.station('sync')
      await keyIsInToken(state, parseTokenUri(uri('lan')))
      await rest()
      const device = new Device(JSON.parse(enrolled.stdout).name, state, {})
      await device.start(60_000)
      await device.stop()
    })

    test('serial: a board at its console makes its key in the token; what is there already is its answer again', async () => {
      await rest()
      const state = join(factory.fleet.folder, 'console-board')
      const script = join(factory.fleet.folder, 'console.sh')
      const words = `enrol --console --serial console-board --state ${state} --pkcs11 '${uri('console')}'`
      writeFileSync(script, `#!/bin/sh\nexec ${agent} ${words}\n`, { mode: 0o700 })
      const cable = await SerialCable.plug(scope, factory.fleet.folder, script)
      const said = await factory.station('provision', 'console-board', '--serial', cable.device)
      await cable.pull()
      await factory.station('sync')
      assert.ok(await factory.has(String(said.name)), JSON.stringify(said))
      // The cable took the agent's console away, and it had no time to let go of the token.
      await rest()
      await keyIsInToken(state, parseTokenUri(uri('console')))
    })

    test('from the shelf: the first certificate, years after its end, is renewed with its own key in the token', async () => {
      await rest()
      const fixture = await ApiFixture.open(scope as never)
      const folder = await StateFolder.open(join(factory.fleet.folder, 'shelf-board'))
      const pkcs11 = parseTokenUri(uri('shelf'))
      const ports = { suite, clock: fixture.clock, log: silentLog, pkcs11 }
      const { id, secret } = await fixture.registry.claims.create({ role: 'device', name: 'spare' })
      const { api, authority } = fixture
      const claim = encodeClaim({ api: [api.url], ca: authority.rootFingerprint, id, secret, role: 'device' }, suite)
      const device = await enrol({ ...ports, folder, token: claim, role: 'device' })
      device.close()
      await rest()
      fixture.clock.forward(days(1_000))
      const back = (await Identity.load(folder, { ...ports, renewsKey: true }))!
      const key = back.keys.identity.publicKey
      await back.renew()
      back.close()
      assert.ok(back.leaf.notAfter > fixture.clock.ms)
      assert.deepEqual(back.keys.identity.publicKey, key)
      const lanes = async (): Promise<string[]> => (await fixture.registry.lane.returns()).map(({ lane }) => lane)
      await eventually(async () => (await lanes()).length > 0, 5_000, 'the return is on record')
      assert.deepEqual(await lanes(), ['shelf'])
      await keyIsInToken(folder.path, pkcs11)
    })

    describe('of a board with an IDevID', () => {
      let fixture: ApiFixture
      let path: string
      const device = (): TokenPlace => parseTokenUri(uri('ldevid'))
      const board = (): TokenPlace => parseTokenUri(token.uri.replace('object=unit-key', ''), boardKeyLabel)
      const ports = async () => {
        const folder = await StateFolder.open(path)
        const floors = await Floors.open(folder.file('floor'), fixture.clock, silentLog)
        const known = (await readBoardIdentity(path, suite))!
        return { folder, board: known, floors, suite, proxy: noProxy, pkcs11: device() }
      }
      const identity = async (renewsKey = false): Promise<Identity> => {
        const own = { suite, clock: fixture.clock, log: silentLog, pkcs11: device(), renewsKey }
        return (await Identity.load(await StateFolder.open(path), own))!
      }
      before(async () => {
        fixture = await ApiFixture.open(scope as never)
        path = join(factory.fleet.folder, 'idevid-board')
      })

      test('802.1AR: the IDevID key is made in the token and certified by the maker; no file has it', async () => {
        await rest()
        const factoryMaker = new BuiltFactory()
        const asked = await run('adit-agent', [
          ...['idevid', 'request', '--serial', 'sn1', '--state', path, '--json'],
          ...['--pkcs11', token.uri.replace('object=unit-key', '')],
        ])
        assert.equal(asked.status, 0, asked.stderr)
        const [csr] = decodePem('CERTIFICATE REQUEST', JSON.parse(asked.stdout).request)
        const { spki } = verifyRequest(csr!, fixture.authority.enrolmentKey, suite)
        const leaf = issueIdevid(factoryMaker.ca, { serial: 'sn1', spki }, now, suite)
        const parts = [leaf, factoryMaker.ca.certificate, factoryMaker.root.certificate]
        await installIdevid(path, parts.map(({ der }) => encodePem('CERTIFICATE', der)).join(''), suite)
        closeTokens()
        assert.equal(existsSync(join(path, 'idevid.key')), false)
        const shown = await run('adit-agent', ['idevid', 'show', '--state', path])
        assert.match(shown.stdout, /key +"adit-idevid" in the token "adit"/)
        await own(fixture, factoryMaker, {}, 'pump')
      })

      test('IDevID to LDevID: the request for the voucher, the proof to the broker and the new key are all the token’s', async () => {
        await rest()
        const asking = await ports()
        const { voucher, nonce } = await askForVoucher(fixture.api.url, asking.board, asking)
        assert.equal(await followVoucher(voucher, asking, nonce), 'enrolled')
        closeTokens()
        await keyIsInToken(path, device())
        assert.equal(fixture.registry.devices.get('pump').name, 'pump')
      })

      test('one label for both keys is refused before anything is made', async () => {
        const same = token.uri.replace('unit-key', boardKeyLabel)
        const words = ['enrol', '--claim', 'x', '--state', path, '--pkcs11', same]
        await assert.rejects((await StateFolder.open(path)).makeKeys(suite, parseTokenUri(same)), {
          code: 'key-token-refused',
          message: /IDevID/,
        })
        assert.notEqual((await run('adit-agent', words)).status, 0)
        await assert.rejects(makeBoardKey(path, suite, device(), device()), { code: 'key-token-refused' })
      })

      test('renewed with a new key in the same token: the old one dies when the new certificate is on disk', async () => {
        await rest()
        const who = await identity(true)
        const [former, tunnel] = [who.keys.identity.publicKey, who.keys.tunnel.publicKey]
        fixture.clock.forward(days(21))
        await who.renew()
        assert.notDeepEqual(who.keys.identity.publicKey, former)
        assert.deepEqual(who.keys.tunnel.publicKey, tunnel)
        const { status } = await who.https().request({ url: `${who.record.api[0]}/v1/agent/config` })
        assert.equal(status, 200, 'it goes on under the new key')
        who.close()
        await rest()
        const list = await token.tool('--token-label', 'adit', '--login', '--pin', userPin, '--list-objects', '--type', 'privkey')
        assert.match(list, /label: +ldevid\.2/)
        assert.doesNotMatch(list, /label: +ldevid\s*$/m)
        assert.equal(existsSync(join(path, 'next-identity.json')), false)
        await keyIsInToken(path, { ...device(), key: 'ldevid.2' })
        const again = await identity()
        assert.equal(again.leaf.name, 'pump', 'the configuration’s label leads to the key that followed')
        again.close()
      })

      test('a renewal that the power cuts short leaves the old key, and the same new one is offered again', async () => {
        await rest()
        const folder = await StateFolder.open(path)
        const before = (await folder.keys(suite))!
        const made = await new NextIdentity(folder, suite).keys(before.tunnel)
        await rest()
        const found = (await (await StateFolder.open(path)).keys(suite))!
        assert.deepEqual(found.identity.publicKey, before.identity.publicKey)
        await rest()
        const again = await new NextIdentity(folder, suite).keys(before.tunnel)
        assert.deepEqual(again.identity.publicKey, made.identity.publicKey)
        await rest()
        const next = JSON.parse(readFileSync(join(path, 'next-identity.json'), 'utf8'))
        assert.equal(next.token.key, 'ldevid.3')
      })

      test('beyond every lane: the IDevID in the token leads back, with the keys that the device has', async () => {
        await rest()
        fixture.clock.forward(days(1_000))
        const who = await identity()
        const key = who.keys.identity.publicKey
        await who.renew()
        assert.ok(who.leaf.notAfter > fixture.clock.ms)
        assert.deepEqual(who.keys.identity.publicKey, key)
        who.close()
      })

      test('leaving its owner destroys the device’s keys, also the one that was to follow, and not the board’s', async () => {
        await rest()
        await leaveFleet(await StateFolder.open(path))
        await rest()
        const there = async (key: string): Promise<boolean> => hasTokenKey({ ...device(), key }, suite)
        assert.deepEqual([await there('ldevid.2'), await there('ldevid.3')], [false, false])
        await rest()
        assert.equal(await hasTokenKey(board(), suite), true)
        await rest()
        assert.equal((await readBoardIdentity(path, suite))?.serial, 'sn1')
        closeTokens()
      })
    })
  })

test('a token that makes no EC keys, and two tokens of one label, are each said so, with what to do', async (t) => {
  const token = await makeToken('SoftHSM', t)
  const place = parseTokenUri(token.uri)
  const config = process.env.SOFTHSM2_CONF!
  const whole = readFileSync(config, 'utf8')
  writeFileSync(config, `${whole}slots.mechanisms = CKM_RSA_PKCS_KEY_PAIR_GEN,CKM_RSA_PKCS\n`)
  await assert.rejects(makeTokenKey(place, suite), {
    code: 'key-token-refused',
    message: /no keys of P-256/,
    mend: /list-mechanisms/,
  })
  closeTokens()
  writeFileSync(config, whole)
  const more = ['--init-token', '--free', '--label', 'adit', '--pin', userPin, '--so-pin', '13579']
  assert.equal((await runCommand('softhsm2-util', more)).status, 0)
  let serial = ''
  await assert.rejects(makeTokenKey(place, suite), (error: { code: string; message: string; mend: string }) => {
    serial = /serial numbers are (\w+),/.exec(error.message)?.[1] ?? ''
    return error.code === 'key-token-missing' && error.mend.includes(`serial=${serial}`)
  })
  const one = parseTokenUri(token.uri.replace('token=adit', `token=adit;serial=${serial}`))
  await makeTokenKey(one, suite)
  assert.equal(await hasTokenKey(one, suite), true)
  await destroyTokenKey(one, suite)
  await assert.rejects(openTokenKey({ ...one, serial: 'nothing' }, suite), { code: 'key-token-missing', message: /nothing/ })
  closeTokens()
})

test('a card has its key in a file: hardware is refused by name', async () => {
  const { status, stderr } = await run('adit-agent', ['adopt', '--from', '/nowhere', '--pkcs11', 'pkcs11:token=adit'])
  assert.equal(status, 3)
  assert.match(stderr, /no token takes a key from outside.*--line auto --pkcs11.*\(key-token-refused\)/)
})
