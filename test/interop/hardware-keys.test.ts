import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Identity } from '#agent/io/identity.ts'
import { closeTokens, openTokenKey } from '#agent/io/key-token.ts'
import { leaveFleet } from '#agent/io/leave-fleet.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { parseTokenUri } from '#agent/io/token-place.ts'
import { beginWipe, carryOutWipe } from '#agent/io/wipe.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { type Device, Fleet } from '#test/lab/fleet.ts'
import { type HardwareToken, makeToken, type TokenKind, userPin } from '#test/lab/hardware-token.ts'
import { type Finished, run } from '#test/lab/program.ts'

for (const kind of ['SoftHSM', 'TPM'] as const satisfies TokenKind[])
  describe(`an identity key in hardware: ${kind}`, () => {
    const endings: (() => unknown)[] = []
    const scope = { after: (ending: () => unknown) => void endings.push(ending) }
    let token: HardwareToken
    let fleet: Fleet
    let device: Device

    before(async () => {
      token = await makeToken(kind, scope)
      fleet = await Fleet.start(scope)
      device = await fleet.device('pi-1', { pkcs11: token.uri })
    })
    after(async () => {
      for (const ending of endings.reverse()) await ending()
    })

    const agent = (...words: string[]): Promise<Finished> => run('adit-agent', [...words, '--state', device.state])

    /** A start that is refused: its code and sentence. */
    async function refused(): Promise<{ code: string; text: string }> {
      const { status, stderr } = await agent('run', '--mqtt', 'off', '--log', 'silent')
      const code = /\(([a-z-]+)\)\s*$/.exec(stderr)?.[1] ?? ''
      assert.ok(status === 3 || status === 5, `status ${status}: ${stderr}`)
      return { code, text: stderr }
    }

    test('the key is made in the token, cannot be taken out, and the state folder has neither it nor the PIN', async () => {
      // A TPM without a resource manager serves one program at a time.
      await device.stop()
      for (const name of ['identity.key', 'identity.key.bak']) assert.equal(existsSync(join(device.state, name)), false, name)
      const place = JSON.parse(readFileSync(join(device.state, 'identity-token.json'), 'utf8'))
      assert.deepEqual(Object.keys(place).sort(), ['key', 'module', 'pinFile', 'token'])
      assert.ok(!JSON.stringify(place).includes(userPin))
      const said = await token.tool('--token-label', 'adit', '--login', '--pin', userPin, '--list-objects', '--type', 'privkey')
      assert.match(said, /label: +unit-key/)
      assert.match(said, /Access: .*never extractable/)
    })

    test('the tunnel is up in the noise suite, its configuration fetched under the certificate', async () => {
      await device.start()
      const { name, tunnel } = await device.status<{ name: string; tunnel: { state: string; suite: string } }>()
      assert.deepEqual([name, tunnel.state, tunnel.suite], ['pi-1', 'up', 'noise'])
    })

    test('after a restart it is up in the esp suite: the token signs IKE_AUTH', async () => {
      await device.stop()
      const program = device.launch(['--suite', 'esp'])
      await program.event(({ event }) => event === 'up', 30_000)
      await device.stop()
    })

    test('the certificate is renewed by the same key; the chain is on disk', async () => {
      const folder = await StateFolder.open(device.state)
      const identity = (await Identity.load(folder, { suite, clock: systemClock, log: silentLog }))!
      const before = await folder.certificates()
      await identity.renew()
      const { status } = await identity.https().request({ url: `${identity.record.api[0]}/v1/agent/config` })
      assert.equal(status, 200)
      identity.close()
      closeTokens()
      assert.notEqual((await folder.certificates())?.chain, before?.chain)
    })

    test('a wrong PIN is said so, once, and the right one serves again', async () => {
      await writeFile(token.pinFile, '999999\n')
      const { code, text } = await refused()
      assert.equal(code, 'key-token-refused')
      assert.ok(text.includes(token.pinFile) && !text.includes('999999'), text)
      await writeFile(token.pinFile, `${userPin}\n`)
      await device.start()
      await device.stop()
    })

    test('a PIN that others can read is refused', async () => {
      const bytes = await readFile(token.pinFile)
      await writeFile(join(token.folder, 'open-pin'), bytes, { mode: 0o644 })
      const place = { ...parseTokenUri(token.uri), pinFile: join(token.folder, 'open-pin') }
      await assert.rejects(openTokenKey(place, suite), { code: 'permission-unsafe' })
    })

    test('a token that was taken out is missed by name; put back, the agent starts', async () => {
      await token.remove()
      const { code, text } = await refused()
      assert.equal(code, 'key-token-missing', text)
      await token.putBack()
      await device.start()
    })

    test('a running agent keeps its tunnel while the token is away', async () => {
      await token.remove()
      const { tunnel } = await device.status<{ tunnel: { state: string } }>()
      assert.equal(tunnel.state, 'up')
      await token.putBack()
      await device.stop()
    })

    test('no module, and no key of that name, are each said so', async () => {
      const place = parseTokenUri(token.uri)
      const none = { ...place, module: '/usr/lib/no-such-module.so' }
      await assert.rejects(openTokenKey(none, suite), { code: 'key-token-missing', message: /no-such-module\.so/ })
      const noModule = { ...place, module: '/bin/true' }
      await assert.rejects(openTokenKey(noModule, suite), { code: 'key-token-missing', message: /PKCS#11 module/ })
      await assert.rejects(openTokenKey({ ...place, key: 'another' }, suite), { code: 'key-token-missing', message: /"another"/ })
      await assert.rejects(openTokenKey({ ...place, token: 'nobody' }, suite), { code: 'key-token-missing', message: /"adit"/ })
      closeTokens()
    })

    test('without the package a key in hardware is refused by the package’s name, and all else goes on', async () => {
      const hook = join(token.folder, 'without-graphene.mjs')
      const resolver = `export const resolve = (name, context, next) => {
        if (name === 'graphene-pk11') throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
        return next(name, context)
      }`
      const loader = `data:text/javascript,${encodeURIComponent(resolver)}`
      writeFileSync(hook, `import { register } from 'node:module'\nregister(${JSON.stringify(loader)})\n`)
      const options = { env: { NODE_OPTIONS: `--import=${hook}` } }
      const { status, stderr } = await run('adit-agent', ['run', '--state', device.state, '--mqtt', 'off'], options)
      assert.equal(status, 5, stderr)
      assert.match(stderr, /graphene-pk11.*npm install graphene-pk11 \(key-token-missing\)/)
      const help = await run('adit-agent', ['enrol', '--help'], options)
      assert.equal(help.status, 0)
    })

    test('when a device forgets its fleet, the key dies in the token', async () => {
      const list = ['--token-label', 'adit', '--login', '--pin', userPin, '--list-objects']
      assert.match(await token.tool(...list), /unit-key/)
      await beginWipe(device.state, { id: '00'.repeat(16) })
      let heard = false
      await carryOutWipe(device.state, async () => {
        // The last word is said under that key.
        const keys = await (await StateFolder.open(device.state)).keys(suite)
        heard = keys !== undefined && 'sign' in keys.identity
      })
      closeTokens()
      assert.ok(heard)
      assert.doesNotMatch(await token.tool(...list), /unit-key/)
      assert.equal(existsSync(join(device.state, 'identity-token.json')), false)
    })

    test('a board that leaves its owner has another key under the next one, in the same token', async () => {
      const folder = await StateFolder.open(device.state)
      const make = async () => (await folder.makeKeys(suite, parseTokenUri(token.uri))).identity.publicKey
      const first = await make()
      assert.deepEqual(await make(), first)
      await leaveFleet(folder)
      assert.equal(existsSync(join(device.state, 'identity-token.json')), false)
      // It is switched off and on: no resource manager stands before this TPM, and what was loaded into it goes with its power.
      closeTokens()
      await token.remove()
      await token.putBack()
      assert.notDeepEqual(await make(), first)
      closeTokens()
    })
  })

test('another token of the same name is not taken for the device’s own', async (t) => {
  const fleet = await Fleet.start(t)
  const token = await makeToken('SoftHSM', t)
  const device = await fleet.device('pi-1', { pkcs11: token.uri })
  await device.stop()
  // The environment leads to this one now.
  const other = await makeToken('SoftHSM', t)
  const sign = [
    '--token-label',
    'adit',
    '--login',
    '--pin',
    userPin,
    '--keypairgen',
    '--key-type',
    'EC:prime256v1',
    '--label',
    'unit-key',
  ]
  await other.tool(...sign)
  const { status, stderr } = await run('adit-agent', ['run', '--state', device.state, '--mqtt', 'off', '--log', 'silent'])
  assert.equal(status, 3)
  assert.match(stderr, /not the one of this device's certificate.*\(key-token-refused\)/)
})
