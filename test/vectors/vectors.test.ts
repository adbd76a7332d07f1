import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { Verdicts } from '#test/vectors/verdict.ts'
import { judgePath, type KindName, kindNames, loadKind } from '#test/vectors/walk.ts'

const root = join(import.meta.dirname, '../..')
const folder = process.env.ADIT_VECTORS ?? join(root, '../shared/vectors')
const absent = existsSync(folder) ? false : `there is no folder ${folder}; ADIT_VECTORS can name one`

/** P-14 names its families; a kind that judged nothing would prove nothing. */
for (const kind of kindNames) {
  test(`P-14 third-party vectors: ${kind}`, { skip: absent }, async (t) => {
    const verdicts = new Verdicts()
    await judgePath(await loadKind(kind), kind, folder, verdicts)
    for (const line of verdicts.report().split('\n')) t.diagnostic(line)
    assert.equal(verdicts.failed, 0, verdicts.report())
    assert.ok(verdicts.passed > 0, 'no case was judged')
  })
}

/** The runner as a person types it; the exit status is the code of a failed run. */
async function runner(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const argv = ['--import', 'tsx', join(root, 'test/vectors/main.ts'), ...words]
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, argv, { cwd: root })) }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, stdout, stderr }
  }
}

function inFolder(t: { after(clean: () => void): void }, file: string, contents: string): string {
  const scratch = mkdtempSync(join(tmpdir(), 'adit-vectors-'))
  t.after(() => rmSync(scratch, { recursive: true }))
  writeFileSync(join(scratch, file), contents)
  return join(scratch, file)
}

test('a path that does not exist, or is not of the kind, is an error with a sentence', async (t) => {
  const missing = await runner('noise', '/nowhere/at/all.json')
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /does not exist/)
  const broken = inFolder(t, 'broken.json', '{"vectors": [')
  assert.match((await runner('noise', broken)).stderr, /is not JSON/)
  const foreign = inFolder(t, 'foreign.json', '{"testGroups": []}')
  assert.match((await runner('noise', foreign)).stderr, /does not look like noise vectors/)
  assert.equal((await runner('nonsense', foreign)).code, 2)
  const loop = join(foreign, '../loop')
  symlinkSync(loop, loop)
  assert.deepEqual(await runner('noise', loop), { code: 1, stdout: '', stderr: `vectors: ${loop} cannot be read (ELOOP)\n` })
})

test('a wrong vector fails, is named, and fails the run; the last line counts', async (t) => {
  const cases = [
    { hex: '00', roundtrip: true, decoded: 0 },
    { hex: '01', roundtrip: true, decoded: 2 },
    { hex: 'f818', roundtrip: true, diagnostic: 'simple(24)' },
  ]
  const { code, stdout } = await runner('cbor', inFolder(t, 'appendix.json', JSON.stringify(cases)))
  assert.equal(code, 1)
  assert.match(stdout, /FAILED .*appendix\.json \[1 01\]: was read as another value/)
  assert.match(stdout, /^skipped 1: a simple value below 32/m)
  assert.equal(stdout.trimEnd().split('\n').at(-1), '1 passed, 1 failed, 1 skipped')
})

/** Judges one file made from `contents`, in this process. */
async function judged(kind: KindName, contents: unknown): Promise<Verdicts> {
  const verdicts = new Verdicts()
  await (await loadKind(kind)).judge('made.json', contents, verdicts)
  return verdicts
}

test('an algorithm that is not ours is skipped with its reason, a forged result fails', async () => {
  const skipped = await judged('wycheproof', {
    algorithm: 'ML-KEM',
    testGroups: [{ type: 'MlKem', tests: [{ tcId: 1, result: 'valid' }] }],
  })
  assert.equal(skipped.summary(), '0 passed, 0 failed, 1 skipped')
  assert.deepEqual([...skipped.skips.keys()], ['ML-KEM (MlKem) is not in the crypto port, or not in this form'])

  const mac = { tcId: 1, key: '00', msg: '', tag: '00'.repeat(32), flags: [] }
  const group = { type: 'MacTest', tagSize: 256 }
  const file = (result: string) => ({ algorithm: 'HMACSHA256', testGroups: [{ ...group, tests: [{ ...mac, result }] }] })
  assert.equal((await judged('wycheproof', file('valid'))).failed, 1)
  assert.equal((await judged('wycheproof', file('invalid'))).passed, 1)
  assert.equal((await judged('wycheproof', file('perhaps'))).failed, 1)

  const noise = (protocol_name: string) => ({ vectors: [{ protocol_name, messages: [] }] })
  assert.equal((await judged('noise', noise('Noise_XX_448_ChaChaPoly_BLAKE2s'))).skipped, 1)
  assert.equal((await judged('noise', noise('Noise_XX_25519_ChaChaPoly'))).failed, 1)
})

test('a forged ESP packet fails, a cipher that is not ours is skipped, its header being judged', async () => {
  const plaintextWithTrailer = '45000014000000004011000001020304050607080102020400'.slice(0, 48)
  const one = { name: 'made', crypt: 'AES-GCM', key: '00'.repeat(20), auth: 'none', spi: '80000001', seq: 1, icvLen: 16 }
  const esp = `8000000100000001${'00'.repeat(8)}${'00'.repeat(24)}${'00'.repeat(16)}`
  const forged = await judged('esp', { cases: [{ ...one, esp, plaintextWithTrailer }] })
  assert.equal(forged.summary(), '1 passed, 1 failed, 0 skipped')
  assert.match(forged.report(), /it was refused: Unauthentic/)
  const foreign = await judged('esp', { cases: [{ ...one, crypt: 'AES-CTR', esp, plaintextWithTrailer }] })
  assert.equal(foreign.summary(), '1 passed, 0 failed, 1 skipped')
})

test('an IKE message that is not what the capture says fails', async () => {
  const ike = '0102030405060708090a0b0c0d0e0f1000202508000000000000001c'
  const frame = { frame: 1, ike, exchange: 'INFORMATIONAL', flags: '08', msgId: 0, payloads: [] }
  const capture = (changed: object) => ({ SK_ei: '', SK_er: '', frames: [{ ...frame, ...changed }] })
  assert.equal((await judged('ike', capture({}))).summary(), '1 passed, 0 failed, 0 skipped')
  for (const changed of [{ exchange: 'IKE_AUTH' }, { flags: '20' }, { msgId: 1 }, { payloads: ['N'] }, { ike: ike.slice(2) }])
    assert.equal((await judged('ike', capture(changed))).failed, 1, JSON.stringify(changed))
})
