import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { draftsIn, StatementSigning } from '#agent/operator/statement-signing.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { days } from '#shared/time/instant.ts'
import { Cli, openDesk } from '#test/broker/cli/cli-fixture.ts'
import { randomKeys } from '#test/broker/registry/registry-fixture.ts'
import { type Finished, run } from '#test/lab/program.ts'

/**
 * Signing on a machine that has no way to the broker: what waits goes there in a file, what was signed comes back in one. The broker's
 * command line writes and reads real files, and `adit` runs as its own program, with a state folder and nothing else.
 */

const cli = new Cli()

interface Import {
  taken: number
  fingerprint: string
}

/** A broker with a device, an operator, a host key and a grant; and a vault, the folder of the machine that signs. */
async function office(t: TestContext, { devices = 1 } = {}) {
  const desk = await openDesk(t, cli)
  const { registry, data } = desk
  const enlist = async (role: 'device' | 'operator', name: string, tags: string[] = []) => {
    const { id, secret } = await registry.claims.create({ role, name, tags })
    return (await registry.claims.redeem({ id: toHex(id), secret, ...randomKeys() })).principal
  }
  for (let i = 0; i < devices; i++) {
    const pump = await enlist('device', `pump-${i}`, ['lab'])
    await registry.hostKeys.report(pump.id, 'ssh', [`ssh-ed25519 ${'A'.repeat(1_000)}${i}`])
  }
  await enlist('operator', 'ann')
  await registry.grants.add({ operators: ['ann'], groups: [], tags: ['lab'], devices: [], ports: [{ from: 22, to: 22 }] })
  const vault = cli.fresh('vault')
  const files = cli.fresh('files')
  mkdirSync(files)
  const file = (name: string): string => join(files, name)
  const adit = (...words: string[]): Promise<Finished> => run('adit', [...words, '--state', vault])
  const broker = (...words: string[]) => cli.run('fleet', ...words, '--data', data)
  const pending = async (...words: string[]) => (await broker('pending', '--json', ...words)).out
  const list = async (): Promise<number> => JSON.parse(await pending()).pending.length
  const init = await adit('fleet', 'init', '--json')
  const { key } = JSON.parse(init.stdout) as { key: string }
  return { ...desk, vault, file, adit, broker, pending, list, key }
}

type Office = Awaited<ReturnType<typeof office>>

/** Refused with this code and words, and nothing of it taken. */
async function refuses({ broker, registry, file }: Office, content: string, code: string, words: RegExp): Promise<void> {
  const before = [...registry.statements.all()].length
  writeFileSync(file('bad.json'), content)
  const { status, err, out } = await broker('import', file('bad.json'), '--json')
  const error = JSON.parse(err) as { error: string; message: string; mend: string }
  assert.deepEqual([status === 0, out, error.error], [false, '', code], err)
  assert.match(error.message, words)
  assert.ok(error.mend.length > 0)
  assert.equal([...registry.statements.all()].length, before)
}

const signedFile = (statements: readonly Uint8Array[]): string =>
  JSON.stringify({ statements: statements.map((bytes) => Buffer.from(bytes).toString('base64')) })

test('what waits leaves in a file, is signed on a machine without a network, and comes back in a file', async (t) => {
  const place = await office(t)
  const { broker, adit, pending, list, file, key, vault, registry } = place

  // Before the key is pinned nobody signs: what was signed would be carried back in vain.
  writeFileSync(file('early.json'), await pending())
  const early = await adit('fleet', 'sign', '--yes', '--in', file('early.json'), '--out', file('early-signed.json'), '--json')
  assert.equal(JSON.parse(early.stderr).error, 'fleet-key-refused')

  assert.equal((await broker('pin', key)).status, 0)
  writeFileSync(file('pending.json'), await pending())
  const words = ['fleet', 'sign', '--yes', '--in', file('pending.json'), '--out', file('signed.json')]
  const signed = await adit(...words)
  assert.equal(signed.status, 0, signed.stderr)
  assert.match(
    signed.stderr,
    /The device pump-0 .*\n.*Grant 1: operator ann may open port 22|Grant 1: operator ann may open port 22/,
  )
  assert.match(signed.stderr, /4 statements signed, 0 left out\. At the broker: adit-broker fleet import FILE/)
  assert.equal(await list(), 4, 'the broker has heard nothing of it')

  const taken = await broker('import', file('signed.json'), '--json')
  assert.equal((JSON.parse(taken.out) as Import).taken, 4)
  assert.equal(await list(), 0)
  assert.equal((await broker('import', file('signed.json'))).out.split(' ')[0], '4', 'the same file again changes nothing')
  const rows = await registry.audit.query({ newest: true })
  assert.ok(rows.some(({ action, detail }) => action === 'fleet.sign' && JSON.stringify(detail).includes('grant:1')))

  // Nothing waits: both ends of the way back say so, and a script that runs each night does not fail.
  writeFileSync(file('none.json'), await pending())
  const none = await adit('fleet', 'sign', '--yes', '--in', file('none.json'), '--out', file('none-signed.json'), '--json')
  assert.deepEqual(JSON.parse(none.stdout), { signed: 0, skipped: 0 })
  assert.match((await broker('import', file('none-signed.json'))).out, /^0 statements taken/)

  // By pipes, as the help shows it.
  await registry.devices.tag('pump-0', ['roof'], [])
  const piped = await run('adit', ['fleet', 'sign', '--yes', '--in', '-', '--out', '-', '--state', vault], {
    input: await pending(),
  })
  assert.equal(piped.status, 0, piped.stderr)
  assert.match((await cli.runWith(piped.stdout, 'fleet', 'import', '-', '--data', place.data)).out, /^1 statements taken/)
  assert.equal(await list(), 0)

  // What was signed first is older now, whoever carries it in again.
  await refuses(place, readFileSync(file('signed.json'), 'utf8'), 'statement-refused', /signed before with a higher version/)
  // A withdrawal travels the same way, and the grant that it ends cannot be played back.
  await registry.grants.revoke(1)
  writeFileSync(file('gone.json'), await pending())
  assert.match(
    (await adit('fleet', 'sign', '--yes', '--in', file('gone.json'), '--out', file('gone-signed.json'))).stderr,
    /holds no more/,
  )
  assert.match((await broker('import', file('gone-signed.json'))).out, /^1 statements taken/)
  const grant = JSON.parse(readFileSync(file('signed.json'), 'utf8')) as { statements: string[] }
  for (const statement of grant.statements)
    if (Buffer.from(statement, 'base64').includes('grant'))
      await refuses(place, JSON.stringify({ statements: [statement] }), 'statement-refused', /higher version/)
})

test('a signed file that is damaged, forged, of another fleet, too old or too young is refused whole, with the reason', async (t) => {
  const place = await office(t)
  const { broker, pending, key, adit, vault } = place
  await refuses(place, signedFile([new Uint8Array(3)]), 'fleet-key-refused', /No fleet key is pinned/)
  await broker('pin', key)
  const document = JSON.parse(await pending()) as { fleet: string }
  const { drafts, fleet } = draftsIn(document)
  const pair = pairIn(readFileSync(join(vault, 'fleet-key.pem'), 'utf8'))
  const now = Date.now()
  const by = (signer: KeyPair, at = now, life = days(30), of = fleet) => {
    const signing = new StatementSigning({ suite, pair: signer }, { fleet: of, version: 0, now: at, life })
    return drafts.map(({ draft }) => signing.sign({ ...draft, fleet: of }))
  }
  const good = by(pair)
  const whole = signedFile(good)
  for (const content of [
    '',
    'statements',
    '[]',
    'null',
    '{}',
    '{"statements":{}}',
    '{"statements":[1]}',
    whole.slice(0, -1),
    whole.slice(0, 700),
  ])
    await refuses(place, content, 'usage', /holds no signed statements/)
  await refuses(place, JSON.stringify(document), 'usage', /holds no signed statements/)
  const spoilt = (at: number, change: (bytes: Uint8Array) => Uint8Array): string =>
    signedFile(good.map((bytes, i) => (i === at ? change(bytes) : bytes)))
  const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))
  for (const at of [0, good.length - 1]) {
    await refuses(
      place,
      spoilt(at, (bytes) => bytes.subarray(0, -1)),
      'statement-refused',
      /cannot be read/,
    )
    await refuses(
      place,
      spoilt(at, (bytes) => bytes.subarray(0, 40)),
      'statement-refused',
      /cannot be read/,
    )
    await refuses(
      place,
      spoilt(at, (bytes) => flipped(bytes, bytes.length - 1)),
      'statement-refused',
      /signature does not fit/,
    )
    await refuses(
      place,
      spoilt(at, (bytes) => flipped(bytes, bytes.length - 80)),
      'statement-refused',
      /refused/,
    )
    await refuses(
      place,
      spoilt(at, () => new Uint8Array()),
      'statement-refused',
      /cannot be read/,
    )
  }
  const thief = suite.ed25519.pair(new Uint8Array(32).fill(8))
  await refuses(place, signedFile(by(thief)), 'statement-refused', /a key that does not count here/)
  await refuses(place, signedFile([...good.slice(1), ...by(thief).slice(0, 1)]), 'statement-refused', /does not count here/)
  const other = suite.hash('sha256', Buffer.from('another root'))
  await refuses(place, signedFile(by(pair, now, days(30), other)), 'statement-refused', /for another fleet/)
  await refuses(place, signedFile(by(pair, now - days(40))), 'statement-refused', /expired/)
  await refuses(place, signedFile(by(pair, now + days(3))), 'statement-refused', /only from/)
  await refuses(place, JSON.stringify({ statements: ['x'.repeat(30_000)] }), 'usage', /./)
  const missing = await broker('import', place.file('nowhere.json'))
  assert.match(missing.err, /nowhere\.json cannot be read \(ENOENT\)/)

  // The machine that signs judges what it is brought as well.
  const sign = async (content: string): Promise<string> => {
    writeFileSync(place.file('in.json'), content)
    const { status, stderr } = await adit(
      'fleet',
      'sign',
      '--yes',
      '--in',
      place.file('in.json'),
      '--out',
      place.file('out.json'),
      '--json',
    )
    assert.notEqual(status, 0, content)
    return (JSON.parse(stderr.trim().split('\n').at(-1)!) as { error: string }).error
  }
  assert.equal(await sign('{"fleet":'), 'usage')
  assert.equal(
    await sign(JSON.stringify({ ...document, pending: [{ subject: 'peer:1', reason: 'new', draft: 'AAAA' }] })),
    'usage',
  )
  assert.equal(
    await sign(JSON.stringify({ ...document, key: Buffer.from(thief.publicKey).toString('base64') })),
    'fleet-key-refused',
  )
  writeFileSync(join(vault, 'fleet-signing.json'), JSON.stringify({ version: 1, fleet: Buffer.from(other).toString('base64') }))
  assert.equal(await sign(JSON.stringify(document)), 'statement-refused')

  assert.equal(
    (await cli.runWith(whole, 'fleet', 'import', '-', '--data', place.data)).status,
    0,
    'and the good file is taken after all that',
  )
})

test('a file of more than one question to the broker is taken whole or not at all', async (t) => {
  const place = await office(t, { devices: 60 })
  const { broker, pending, key, adit, file, list } = place
  await broker('pin', key)
  writeFileSync(file('pending.json'), await pending())
  await adit('fleet', 'sign', '--yes', '--in', file('pending.json'), '--out', file('signed.json'))
  const { statements } = JSON.parse(readFileSync(file('signed.json'), 'utf8')) as { statements: string[] }
  assert.ok(statements.join('').length > 100_000, 'several questions')
  await refuses(
    place,
    JSON.stringify({ statements: [...statements.slice(0, -1), statements.at(-1)!.slice(4)] }),
    'statement-refused',
    /./,
  )
  assert.equal(await list(), 122)
  assert.match((await broker('import', file('signed.json'))).out, /^122 statements taken/)
  assert.equal(await list(), 0)
})

/** The pair in the PKCS#8 file of a key without a passphrase: its last 32 bytes. */
function pairIn(pem: string): KeyPair {
  const der = Buffer.from(pem.replace(/-----.*-----|\s/g, ''), 'base64')
  return suite.ed25519.pair(Uint8Array.from(der.subarray(-32)))
}
