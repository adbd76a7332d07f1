import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { type Claim, decodeClaim } from '#shared/enrolment/claim.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem } from '#shared/pki/pem.ts'

/** EST clients that we did not write enrol with a broker as it runs (RFC 7030): curl with openssl, and strongSwan's pki. */
const program = join(import.meta.dirname, '../../node_modules/.bin/adit-broker')
const run = promisify(execFile)
const lacks = (command: string): string | false =>
  spawnSync('sh', ['-c', `command -v ${command}`]).status !== 0 && `${command} is not installed`

interface Broker {
  /** https://127.0.0.1:PORT */
  api: string
  data: string
  dir: string
  claim(...words: string[]): Promise<Claim>
}

async function startBroker(t: TestContext): Promise<Broker> {
  const dir = await mkdtemp(join(tmpdir(), 'adit-est-'))
  const data = join(dir, 'data')
  const words = ['run', '--json', '--data', data, '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0']
  const child: ChildProcess = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString()
  })
  t.after(async () => {
    const gone = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill()
    await gone
    await rm(dir, { recursive: true, force: true })
  })
  const ready = await new Promise<{ api: string }>((resolve, reject) => {
    child.once('exit', (status) => reject(new Error(`the broker ended with ${status}: ${log}`)))
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const event = JSON.parse(line) as { event: string; api: string }
      if (event.event === 'ready') resolve(event)
    })
  })
  const claim = async (...more: string[]): Promise<Claim> => {
    const { stdout } = await run(program, ['claim', 'create', '--data', data, '--role', 'device', '--json', ...more])
    return decodeClaim((JSON.parse(stdout) as { claim: string }).claim, suite)
  }
  return { api: ready.api, data, dir, claim }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const password = ({ id, secret }: Claim): string => `${hex(id)}:${hex(secret)}`

/** cacerts without trust in TLS yet, then held against the claim's fingerprint, as a careful person would. */
async function fetchRoot(broker: Broker, claim: Claim): Promise<string> {
  const { dir } = broker
  await run('curl', ['-sfk', '-o', 'ca.b64', `${broker.api}/.well-known/est/cacerts`], { cwd: dir })
  await run('openssl', ['base64', '-d', '-in', 'ca.b64', '-out', 'ca.p7'], { cwd: dir })
  const { stdout } = await run('openssl', ['pkcs7', '-inform', 'DER', '-in', 'ca.p7', '-print_certs'], { cwd: dir })
  const isRoot = (der: Uint8Array): boolean => createHash('sha256').update(der).digest('hex') === hex(claim.ca)
  const root = decodePem('CERTIFICATE', stdout).find(isRoot)
  assert.ok(root, 'the root that the claim pins is among the CA certificates')
  const path = join(dir, 'root.pem')
  await writeFile(path, new X509Certificate(root).toString())
  return path
}

async function makeRequest(dir: string, name: string): Promise<void> {
  await run('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', `${name}.key`], {
    cwd: dir,
  })
  const wish = [
    '-subj',
    '/CN=somebody-else',
    '-addext',
    'basicConstraints=critical,CA:TRUE',
    '-addext',
    'subjectAltName=DNS:evil',
  ]
  await run('openssl', ['req', '-new', '-key', `${name}.key`, ...wish, '-outform', 'DER', '-out', `${name}.p10`], { cwd: dir })
  await run('openssl', ['base64', '-in', `${name}.p10`, '-out', `${name}.b64`], { cwd: dir })
}

/** The certificate is for the claim's name, is no CA, has no tunnel key, and openssl verifies it. */
async function checkPlain(broker: Broker, pem: string, name: string): Promise<void> {
  const [der] = decodePem('CERTIFICATE', pem)
  const certificate = parseCertificate(der!)
  const { subject, ca } = new X509Certificate(der!)
  assert.equal(subject, `CN=${name}`)
  assert.equal(ca, false)
  assert.equal(certificate.extensions.tunnelKey, undefined)
  const { dir } = broker
  await writeFile(join(dir, 'leaf.pem'), new X509Certificate(der!).toString())
  await run('openssl', ['pkcs7', '-inform', 'DER', '-in', 'ca.p7', '-print_certs', '-out', 'all.pem'], { cwd: dir })
  const words = ['verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', 'root.pem', '-untrusted', 'all.pem', 'leaf.pem']
  assert.match((await run('openssl', words, { cwd: dir })).stdout, /OK/)
}

test('EST: curl with openssl enrols, enrols again alike, and renews', { skip: lacks('curl') || lacks('openssl') }, async (t) => {
  const broker = await startBroker(t)
  const claim = await broker.claim('--name', 'curled')
  const { dir } = broker
  await fetchRoot(broker, claim)
  await makeRequest(dir, 'id')
  const header = ['-H', 'Content-Type: application/pkcs10', '-H', 'Content-Transfer-Encoding: base64']
  const post = ['-s', '--cacert', 'root.pem', ...header, '--data-binary', '@id.b64']
  const certificateIn = async (file: string): Promise<string> => {
    await run('openssl', ['base64', '-d', '-in', file, '-out', `${file}.p7`], { cwd: dir })
    return (await run('openssl', ['pkcs7', '-inform', 'DER', '-in', `${file}.p7`, '-print_certs'], { cwd: dir })).stdout
  }
  const enrol = `${broker.api}/.well-known/est/simpleenroll`
  await run('curl', [...post, '-f', '-u', password(claim), '-o', 'first', enrol], { cwd: dir })
  const first = await certificateIn('first')
  await checkPlain(broker, first, 'curled')
  await run('curl', [...post, '-f', '-u', password(claim), '-o', 'again', enrol], { cwd: dir })
  assert.equal(await certificateIn('again'), first, 'the same claim and key: the same certificate')

  const status = async (...words: string[]): Promise<string> =>
    (await run('curl', [...post, '-o', '/dev/null', '-w', '%{http_code}', ...words, enrol], { cwd: dir })).stdout
  assert.equal(await status(), '401')
  assert.match(await status('-u', `${hex(claim.id)}:${'00'.repeat(16)}`), /^4\d\d$/)

  await writeFile(join(dir, 'own.pem'), first)
  const shown = ['--cert', 'own.pem', '--key', 'id.key']
  await run('curl', [...post, '-f', ...shown, '-o', 'renewed', `${broker.api}/.well-known/est/simplereenroll`], { cwd: dir })
  const renewed = await certificateIn('renewed')
  assert.notEqual(renewed, first)
  await checkPlain(broker, renewed, 'curled')
})

test('EST: strongSwan’s pki fetches the CA certificates and enrols', {
  skip: lacks('pki') || lacks('openssl') || lacks('curl'),
}, async (t) => {
  const broker = await startBroker(t)
  const claim = await broker.claim('--name', 'swan')
  const { dir } = broker
  await fetchRoot(broker, claim)
  await run('pki', ['--estca', '--url', broker.api, '--cacert', 'root.pem', '--caout', 'estca.pem', '--outform', 'pem'], {
    cwd: dir,
  })
  await makeRequest(dir, 'id')
  const words = [
    '--est',
    '--url',
    broker.api,
    '--in',
    'id.p10',
    '--cacert',
    'root.pem',
    '--userpass',
    password(claim),
    '--outform',
    'pem',
  ]
  const { stdout } = await run('pki', words, { cwd: dir })
  await checkPlain(broker, stdout, 'swan')
  assert.ok(await readFile(join(dir, 'leaf.pem')))
})
