import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { decodeClaim } from '#shared/enrolment/claim.ts'
import { tunnelKeyAttribute } from '#shared/pki/oids.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { createRequest } from '#shared/pki/request.ts'
import { Program, run } from '#test/lab/program.ts'

/** Every route of EST (RFC 7030) as clients see it that we did not write, against the broker as it is started by a person. */
const execute = promisify(execFile)

interface Bench {
  dir: string
  est: string
  data: string
  /** The broker's command line; its JSON. */
  broker(...words: string[]): Promise<Record<string, unknown>>
  /** `id:secret` of a new claim. */
  claim(...words: string[]): Promise<string>
  curl(...words: string[]): Promise<{ status: number; headers: string; body: string }>
  openssl(...words: string[]): Promise<string>
  /** NAME.key, and NAME.b64 with a request. */
  request(name: string): Promise<void>
}

async function bench(t: TestContext): Promise<Bench> {
  const dir = await mkdtemp(join(tmpdir(), 'adit-est-routes-'))
  const data = join(dir, 'data')
  const config = join(dir, 'config.toml')
  await writeFile(config, '[enrolment]\nretry-after = "5s"\n')
  const started = Program.start('adit-broker', [
    ...['run', '--json', '--data', data, '--config', config, '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0'],
  ])
  t.after(async () => {
    await started.stop('SIGTERM')
    await rm(dir, { recursive: true, force: true })
  })
  const { api } = await started.event(({ event }) => event === 'ready', 60_000)
  const openssl = async (...words: string[]) => (await execute('openssl', words, { cwd: dir })).stdout
  const broker = async (...words: string[]): Promise<Record<string, unknown>> => {
    const { status, stdout, stderr } = await run('adit-broker', [...words, '--data', data, '--json'])
    assert.equal(status, 0, stderr)
    return JSON.parse(stdout)
  }
  const root = async (): Promise<void> => {
    await execute('cp', [join(data, 'ca/root.pem'), join(dir, 'root.pem')])
  }
  await root()
  return {
    dir,
    data,
    est: `${api}/.well-known/est`,
    broker,
    openssl,
    async claim(...words) {
      const { id, secret } = decodeClaim(String((await broker('claim', 'create', ...words)).claim), suite)
      return `${Buffer.from(id).toString('hex')}:${Buffer.from(secret).toString('hex')}`
    },
    async curl(...words) {
      const common = ['--silent', '--show-error', '--cacert', 'root.pem', '--dump-header', '-', '--http1.1']
      const { stdout } = await execute('curl', [...common, ...words], { cwd: dir })
      const [headers = '', ...body] = stdout.split('\r\n\r\n')
      return { status: Number(headers.split(' ')[1]), headers: headers.toLowerCase(), body: body.join('\r\n\r\n') }
    },
    async request(name) {
      await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', `${name}.key`)
      await openssl('req', '-new', '-key', `${name}.key`, '-subj', '/CN=mine', '-outform', 'DER', '-out', `${name}.der`)
      await openssl('base64', '-in', `${name}.der`, '-out', `${name}.b64`)
    },
  }
}

const posting = (name: string): string[] => ['-H', 'Content-Type: application/pkcs10', '--data-binary', `@${name}.b64`]

/** The certificates of an answer, as openssl reads them. */
async function certificatesIn({ dir, openssl }: Bench, body: string): Promise<X509Certificate[]> {
  await writeFile(join(dir, 'answer.b64'), body)
  await openssl('base64', '-d', '-in', 'answer.b64', '-out', 'answer.p7')
  const pem = await openssl('pkcs7', '-inform', 'DER', '-in', 'answer.p7', '-print_certs')
  return (pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map((one) => new X509Certificate(one))
}

test('curl and openssl meet every route, with and without a label', async (t) => {
  const b = await bench(t)
  const { curl, est } = b
  await b.request('id')
  for (const label of ['', '/device', '/operator', '/station']) {
    const cacerts = await curl(`${est}${label}/cacerts`)
    assert.equal(cacerts.status, 200)
    assert.match(cacerts.headers, /content-type: application\/pkcs7-mime; ?smime-type=certs-only/)
    const certificates = await certificatesIn(b, cacerts.body)
    await writeFile(join(b.dir, 'all.pem'), certificates.map(String).join('\n'))
    const subjects = certificates.map(({ subject }) => subject.replace(/ [0-9a-f]+$/, ''))
    assert.deepEqual(
      [...new Set(subjects)].sort(),
      label === ''
        ? ['CN=adit device CA', 'CN=adit operator CA', 'CN=adit root', 'CN=adit station CA']
        : [`CN=adit ${label.slice(1)} CA`, 'CN=adit root'].sort(),
    )
    for (const certificate of certificates) {
      await writeFile(join(b.dir, 'one.pem'), String(certificate))
      assert.match(await b.openssl('verify', '-x509_strict', '-CAfile', 'root.pem', '-untrusted', 'all.pem', 'one.pem'), /OK/)
    }
    const wish = await curl(`${est}${label}/csrattrs`)
    assert.match(wish.headers, /content-type: application\/csrattrs/)
    await writeFile(join(b.dir, 'wish.b64'), wish.body)
    await b.openssl('base64', '-d', '-in', 'wish.b64', '-out', 'wish.der')
    const parsed = await b.openssl('asn1parse', '-inform', 'DER', '-in', 'wish.der')
    assert.match(parsed, /id-ecPublicKey.*SET.*prime256v1.*ecdsa-with-SHA256/s)
    assert.ok(parsed.includes(tunnelKeyAttribute))
    for (const operation of ['serverkeygen', 'fullcmc']) {
      const refused = await curl(...posting('id'), `${est}${label}/${operation}`)
      assert.equal(refused.status, 501)
      assert.match(refused.body, new RegExp(`${operation}.*\\(not-offered\\)`))
    }
    const bare = await curl(...posting('id'), `${est}${label}/simpleenroll`)
    assert.equal(bare.status, 401)
    assert.match(bare.headers, /www-authenticate: basic realm=/)
    assert.equal((await curl(...posting('id'), `${est}${label}/simplereenroll`)).status, 403)
  }
  assert.equal((await curl(`${est}/toaster/cacerts`)).status, 404)

  const claim = await b.claim('--name', 'labelled')
  const elsewhere = await curl(...posting('id'), '-u', claim, `${est}/operator/simpleenroll`)
  assert.equal(elsewhere.status, 401)
  assert.match(elsewhere.body, /This claim is for a device/)
  const enrolled = await curl(...posting('id'), '-u', claim, `${est}/device/simpleenroll`)
  const [leaf] = await certificatesIn(b, enrolled.body)
  assert.equal(leaf?.subject, 'CN=labelled')
  await writeFile(join(b.dir, 'leaf.pem'), String(leaf))
  const shown = ['--cert', 'leaf.pem', '--key', 'id.key']
  assert.equal((await curl(...posting('id'), ...shown, `${est}/operator/simplereenroll`)).status, 400)
  const renewed = await curl(...posting('id'), ...shown, `${est}/device/simplereenroll`)
  assert.notEqual((await certificatesIn(b, renewed.body))[0]?.serialNumber, leaf?.serialNumber)
})

test('202 and Retry-After while a person decides: curl asks again, pki waits by itself, a denial says why', async (t) => {
  const b = await bench(t)
  const { curl, est } = b
  const claim = await b.claim('--name', 'pi-{n}', '--uses', '9', '--approve')
  const url = `${est}/simpleenroll`
  await b.request('one')
  const waiting = await curl(...posting('one'), '-u', claim, url)
  assert.equal(waiting.status, 202)
  assert.match(waiting.headers, /retry-after: 5\r?$/m)
  assert.match(waiting.body, /Request 1 waits for a person/)
  const [listed] = (await b.broker('enrolments', 'list')) as unknown as { id: number; key: string; state: string }[]
  assert.equal(listed?.state, 'waiting')
  assert.ok(waiting.body.includes(listed?.key ?? '?'), 'both people see one fingerprint')
  await b.broker('enrolments', 'approve', '1', '--name', 'by-curl')
  assert.equal((await certificatesIn(b, (await curl(...posting('one'), '-u', claim, url)).body))[0]?.subject, 'CN=by-curl')

  await b.request('two')
  await curl(...posting('two'), '-u', claim, url)
  await b.broker('enrolments', 'deny', '2', '--reason', 'not in the order')
  const denied = await curl(...posting('two'), '-u', claim, url)
  assert.equal(denied.status, 403)
  assert.match(denied.body, /not in the order/)

  await b.request('three')
  const words = ['--est', '--url', est.replace('/.well-known/est', ''), '--in', 'three.der', '--cacert', 'root.pem']
  const pki = execute('pki', [...words, '--userpass', claim, '--interval', '1', '--maxpolltime', '60', '--outform', 'pem'], {
    cwd: b.dir,
  })
  let id: number | undefined
  while (id === undefined) id = ((await b.broker('enrolments', 'list')) as unknown as { id: number }[])[0]?.id
  await b.broker('enrolments', 'approve', String(id), '--name', 'by-pki')
  assert.equal(new X509Certificate((await pki).stdout).subject, 'CN=by-pki')
  const { stdout } = await run('adit-broker', ['audit', '--data', b.data, '--json'])
  const rows = stdout.split('\n').filter((line) => line.includes('"enrolment.'))
  assert.ok(rows.length >= 6, 'asked, approved, asked, denied, asked, approved')
})

test('adit-agent enrol waits, is killed, goes on without the claim being typed again, and comes in', async (t) => {
  const b = await bench(t)
  const { claim } = (await b.broker('claim', 'create', '--name', 'pi', '--approve')) as { claim: string }
  const state = join(b.dir, 'state')
  const first = Program.start('adit-agent', ['enrol', '--claim', claim, '--state', state, '--json'])
  const waiting = await first.event(({ event }) => event === 'waiting', 60_000)
  await first.stop('SIGKILL')
  const [listed] = (await b.broker('enrolments', 'list')) as unknown as { id: number; key: string }[]
  assert.deepEqual([waiting.request, waiting.key], [listed?.id, listed?.key])
  const second = Program.start('adit-agent', ['enrol', '--state', state, '--json'])
  await second.event(({ event }) => event === 'waiting', 60_000)
  await b.broker('enrolments', 'approve', String(listed?.id))
  const enrolled = await second.event(({ event }) => event === 'enrolled', 60_000)
  assert.equal(enrolled.name, 'pi')
})

test('P-19 64 curls at once with one claim: one certificate; a second broker on the folder is refused its lock', async (t) => {
  const b = await bench(t)
  const second = await run('adit-broker', [
    ...['run', '--data', b.data, '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0', '--json'],
  ])
  assert.notEqual(second.status, 0)
  assert.match(second.stderr, /state-locked/)
  const claim = await b.claim('--name', 'one')
  const sections: string[] = []
  for (let n = 0; n < 64; n++) {
    const der = createRequest({ name: 'x', identity: suite.ecdsaP256.generate() }, suite)
    await writeFile(join(b.dir, `r${n}.pem`), encodePem('CERTIFICATE REQUEST', der))
    const lines = [`url = "${b.est}/simpleenroll"`, `user = "${claim}"`, `data-binary = "@r${n}.pem"`, 'cacert = "root.pem"']
    sections.push(
      [...lines, 'header = "Content-Type: application/pkcs10"', `output = "o${n}"`, 'write-out = "%{http_code}\\n"'].join('\n'),
    )
  }
  await writeFile(join(b.dir, 'curls'), sections.join('\nnext\n'))
  const words = ['--parallel', '--parallel-immediate', '--parallel-max', '64', '--no-progress-meter', '--config', 'curls']
  const { stdout } = await execute('curl', words, { cwd: b.dir })
  const statuses = stdout.trim().split('\n')
  assert.deepEqual([statuses.length, statuses.filter((status) => status === '200').length], [64, 1])
})
