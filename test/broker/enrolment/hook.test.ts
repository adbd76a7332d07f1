import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { Hook, type HookQuestion } from '#broker/enrolment/hook.ts'
import { hookProgram } from '#broker/enrolment/io/hook-program.ts'
import { hookService } from '#broker/enrolment/io/hook-service.ts'
import { Authority } from '#broker/identity/authority.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { systemTimers, type Timers } from '#shared/platform/timers.ts'
import { ApiFixture, basic, certificateIn, hex } from '#test/broker/api/api-fixture.ts'

const keys = () => ({ identity: suite.ecdsaP256.generate(), tunnel: suite.x25519.generate() })

const question: HookQuestion = {
  v: 1,
  role: 'device',
  name: 'pi-{n}',
  serial: null,
  key: 'ab'.repeat(32),
  right: 'claim:0123456789abcdef',
  address: '192.0.2.7',
  tags: ['site:oslo'],
}

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'adit-hook-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function program(folder: string, script: string): Promise<string> {
  const path = join(folder, 'hook')
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
  return path
}

/** One that was killed and that nobody has buried yet runs no more. */
function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

const asks = (road: (question: string) => Promise<string>, timers: Timers = systemTimers) =>
  new Hook(road, silentLog, timers).ask(question)

test('a hook allows, denies with a reason, renames and tags', async () => {
  const says = (verdict: object) => asks(async () => JSON.stringify(verdict))
  assert.deepEqual(await says({ decision: 'allow' }), {})
  const renamed = await says({ decision: 'allow', name: 'Pi-Kitchen', tags: ['a', 'a'] })
  assert.deepEqual(renamed, { name: 'pi-kitchen', tags: ['a'] })
  await assert.rejects(says({ decision: 'deny', reason: 'no such\u001b[31m order' }), (error: Error & { code: string }) => {
    assert.equal(error.code, 'enrolment-denied')
    assert.match(error.message, /no such\\u\{1b\}\[31m order/)
    return true
  })
})

test('P-33 whatever is no verdict fails closed', async () => {
  for (const answer of [
    '',
    'yes',
    '{}',
    '{"decision":"maybe"}',
    '{"decision":"allow","name":"a b"}',
    '{"decision":"allow","tags":["a b"]}',
    '[]',
  ])
    await assert.rejects(
      asks(async () => answer),
      { code: 'hook-failed' },
      answer,
    )
  await assert.rejects(
    asks(() => Promise.reject(new Error('gone'))),
    { code: 'hook-failed' },
  )
})

test('eight questions are asked at once; whoever waits too long for its turn fails closed', async () => {
  const ends: (() => void)[] = []
  const road = () => new Promise<string>((resolve) => ends.push(() => resolve('{"decision":"allow"}')))
  const late: (() => void)[] = []
  const timers: Timers = {
    setTimer(_delay, callback) {
      late.push(callback)
      return { clear: () => late.splice(late.indexOf(callback), 1) }
    },
  }
  const hook = new Hook(road, silentLog, timers)
  const settled = Array.from({ length: 10 }, () =>
    hook.ask(question).then(
      () => 'allowed',
      (error) => error.code as string,
    ),
  )
  await new Promise(setImmediate)
  assert.deepEqual([ends.length, late.length], [8, 2])
  late.pop()?.()
  assert.equal(await settled[9], 'hook-failed')
  ends[0]!()
  assert.equal(await settled[0], 'allowed')
  await new Promise(setImmediate)
  assert.deepEqual([ends.length, late.length], [9, 0], 'a turn that ends is handed over')
  for (const end of ends) end()
  assert.deepEqual(await Promise.all(settled.slice(0, 9)), Array(9).fill('allowed'))
})

test('a program as hook: the question on its input, no arguments, no shell, an environment of its own', async (t) => {
  const folder = await folderOf(t)
  process.env.ADIT_HOOK_TEST = 'leaks'
  t.after(() => delete process.env.ADIT_HOOK_TEST)
  const path = await program(
    folder,
    `cat > ${folder}/question; echo "$# $(env | sort | tr '\\n' ' ')" > ${folder}/surroundings; echo '{"decision":"allow","tags":["ok"]}'`,
  )
  assert.deepEqual(await asks(hookProgram(path, 5_000)), { tags: ['ok'] })
  assert.deepEqual(JSON.parse(await readFile(join(folder, 'question'), 'utf8')), question)
  const surroundings = await readFile(join(folder, 'surroundings'), 'utf8')
  assert.match(surroundings, /^0 /)
  assert.doesNotMatch(surroundings, /leaks|NODE/)
})

test('P-33 a program that is late, fails, is not there or never ends gives no verdict, and is killed with its children', async (t) => {
  const folder = await folderOf(t)
  const failing = async (script: string, limit = 5_000) => {
    const path = await program(folder, script)
    await assert.rejects(asks(hookProgram(path, limit)), { code: 'hook-failed' }, script)
  }
  await failing(`echo '{"decision":"allow"}'; echo broken >&2; exit 3`)
  await failing('head -c 100000 /dev/zero')
  await failing(`sleep 60 & echo $! > ${folder}/child; sleep 60`, 500)
  const child = Number(await readFile(join(folder, 'child'), 'utf8'))
  while (isRunning(child)) await new Promise(setImmediate)
  await assert.rejects(asks(hookProgram(join(folder, 'none'), 100)), { code: 'hook-failed' })
  await writeFile(join(folder, 'plain'), 'not executable')
  await assert.rejects(asks(hookProgram(join(folder, 'plain'), 100)), { code: 'hook-failed' })
})

test('an HTTPS service as hook: trusted by the file of its CAs alone; other statuses, strangers and silence fail closed', async (t) => {
  const folder = await folderOf(t)
  const authority = await Authority.openOrCreate(folder, { suite, clock: systemClock })
  const seen: unknown[] = []
  let status = 200
  let mute = false
  const server = createServer({ ...authority.tls }, (request, response) => {
    void text(request).then((body) => {
      seen.push([request.method, JSON.parse(body)])
      if (!mute) response.writeHead(status).end('{"decision":"allow","name":"by-http"}')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  const ca = join(folder, 'hook-ca.pem')
  await writeFile(ca, encodePem('CERTIFICATE', authority.rootDer))
  assert.deepEqual(await asks(hookService(url, 5_000, ca)), { name: 'by-http' })
  assert.deepEqual(seen, [['POST', question]])
  await assert.rejects(asks(hookService(url, 5_000, undefined)), { code: 'hook-failed' })
  await assert.rejects(asks(hookService(url, 5_000, join(folder, 'no.pem'))), { code: 'hook-failed' })
  assert.equal(seen.length, 1, 'a service that is not proven learns nothing')
  status = 302
  await assert.rejects(asks(hookService(url, 5_000, ca)), { code: 'hook-failed' })
  mute = true
  await assert.rejects(asks(hookService(url, 100, ca)), { code: 'hook-failed' })
})

test('the hook has the last word over a claim; what it decided is kept while a person decides', async (t) => {
  const fixture = await ApiFixture.open(t)
  const folder = await folderOf(t)
  const place = await program(
    folder,
    `read question; echo "$question" >> ${folder}/asked
case "$question" in
  *'"name":"bad"'*) echo '{"decision":"deny","reason":"not ours"}' ;;
  *) echo '{"decision":"allow","name":"renamed","tags":["hooked"]}' ;;
esac`,
  )
  await fixture.restart({ queue: 10, retryAfter: 30, hook: { place } })
  const asked = async () =>
    (await readFile(join(folder, 'asked'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))

  const bad = await fixture.enrolWith(await fixture.claim({ role: 'device', name: 'bad' }), keys())
  assert.deepEqual([bad.status, bad.json.error], [403, 'enrolment-denied'])
  assert.match(bad.json.message, /not ours/)

  const { id, secret } = await fixture.registry.claims.create({ role: 'device', name: 'good', approval: true, tags: ['own'] })
  const claim = basic(hex(id), hex(secret))
  const pair = { ...keys(), serial: 'SN-1' }
  for (let i = 0; i < 2; i++) assert.equal((await fixture.enrolWith(claim, pair)).status, 202)
  const questions = await asked()
  assert.equal(questions.length, 2, 'asked once a request')
  assert.deepEqual(questions[1], {
    v: 1,
    role: 'device',
    name: 'good',
    serial: 'SN-1',
    key: (await fixture.registry.enrolments.get(1)).spkiSha256,
    right: `claim:${hex(id)}`,
    address: '127.0.0.1',
    tags: ['own'],
  })
  await fixture.registry.enrolments.approve(1, {})
  assert.match(new X509Certificate(certificateIn(await fixture.enrolWith(claim, pair))).subject, /CN=renamed/)
  assert.deepEqual(fixture.registry.directory.byName('device', 'renamed')?.tags, ['hooked', 'own'])
})

test('P-33 while the hook is broken nobody enrols and no claim is burnt; what was enrolled before still gets its certificate', async (t) => {
  const fixture = await ApiFixture.open(t)
  const before = await fixture.claim({ role: 'device', name: 'before' })
  const pair = keys()
  await fixture.enrolWith(before, pair)
  await fixture.restart({ queue: 10, retryAfter: 30, hook: { place: '/nonexistent/hook' } })
  const claim = await fixture.claim({ role: 'device', name: 'pi' })
  const answer = await fixture.enrolWith(claim, keys())
  assert.deepEqual([answer.status, answer.json.error, answer.headers['retry-after']], [503, 'hook-failed', '30'])
  assert.doesNotMatch(JSON.stringify(answer.json), /nonexistent/)
  assert.equal(fixture.registry.directory.byName('device', 'pi'), undefined)
  const audit = await fixture.registry.audit.query({ limit: 1000 })
  assert.match(String(audit.find(({ action }) => action === 'enrolment.hook-failed')?.detail?.reason), /cannot be run/)
  assert.equal((await fixture.enrolWith(before, pair)).status, 200)
  await fixture.restart({ queue: 10, retryAfter: 30 })
  assert.equal((await fixture.enrolWith(claim, keys())).status, 200)
})
