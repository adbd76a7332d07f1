import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { encodePem } from '#shared/pki/pem.ts'
import { ApiFixture, hex } from '#test/broker/api/api-fixture.ts'

const run = promisify(execFile)
const present = (command: string): boolean => spawnSync(command, ['--help']).error === undefined

interface Bench {
  fixture: ApiFixture
  folder: string
  at(name: string): string
  /** `id:secret` of a new claim. */
  claim(name: string): Promise<string>
}

async function bench(t: TestContext): Promise<Bench> {
  const fixture = await ApiFixture.open(t, Date.now())
  const folder = await mkdtemp(join(tmpdir(), 'adit-est-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const at = (name: string): string => join(folder, name)
  await writeFile(at('ca.pem'), encodePem('CERTIFICATE', fixture.authority.rootDer))
  return {
    fixture,
    folder,
    at,
    async claim(name) {
      const { id, secret } = await fixture.registry.claims.create({ role: 'device', name })
      return `${hex(id)}:${hex(secret)}`
    },
  }
}

test('curl and openssl enrol, renew with the certificate, and use the API with it', {
  skip: !present('curl') || !present('openssl'),
}, async (t) => {
  const { fixture, at, claim } = await bench(t)
  await run('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', at('key.pem')])
  await run('openssl', [
    'req',
    '-new',
    '-key',
    at('key.pem'),
    '-subj',
    '/CN=whatever/O=I choose',
    '-addext',
    'subjectAltName=DNS:evil',
    '-outform',
    'DER',
    '-out',
    at('req.der'),
  ])
  await run('openssl', ['base64', '-in', at('req.der'), '-out', at('req.b64')])
  const est = `${fixture.api.url}/.well-known/est`
  const common = [
    '--fail',
    '--silent',
    '--show-error',
    '--cacert',
    at('ca.pem'),
    '-H',
    'Content-Type: application/pkcs10',
    '-H',
    'Content-Transfer-Encoding: base64',
  ]
  const unpack = async (name: string): Promise<X509Certificate> => {
    await run('openssl', ['base64', '-d', '-in', at(`${name}.b64`), '-out', at(`${name}.p7`)])
    await run('openssl', ['pkcs7', '-inform', 'DER', '-in', at(`${name}.p7`), '-print_certs', '-out', at(`${name}.pem`)])
    return new X509Certificate(await readFile(at(`${name}.pem`)))
  }
  await run('curl', [
    ...common,
    '-o',
    at('first.b64'),
    '-u',
    await claim('pi-curl'),
    '--data-binary',
    `@${at('req.b64')}`,
    `${est}/simpleenroll`,
  ])
  const first = await unpack('first')
  assert.match(first.subject, /CN=pi-curl$/)
  assert.doesNotMatch(first.subjectAltName ?? '', /evil/)

  await run('curl', ['--fail', '--silent', '--cacert', at('ca.pem'), '-o', at('ca.b64'), `${est}/cacerts`])
  await unpack('ca')
  await run('openssl', ['verify', '-CAfile', at('ca.pem'), '-untrusted', at('ca.pem'), '-purpose', 'sslclient', at('first.pem')])

  const withCertificate = ['--cert', at('first.pem'), '--key', at('key.pem')]
  await run('curl', [
    ...common,
    ...withCertificate,
    '-o',
    at('second.b64'),
    '--data-binary',
    `@${at('req.b64')}`,
    `${est}/simplereenroll`,
  ])
  assert.notEqual((await unpack('second')).serialNumber, first.serialNumber)
  const { stdout } = await run('curl', [
    '--fail',
    '--silent',
    '--cacert',
    at('ca.pem'),
    ...withCertificate,
    `${fixture.api.url}/v1/agent/config`,
  ])
  assert.equal(JSON.parse(stdout).name, 'pi-curl')
  assert.equal(fixture.registry.directory.byName('device', 'pi-curl')?.tunnelKey, undefined)
})

test('strongSwan’s pki --est enrols and renews', { skip: !present('pki') }, async (t) => {
  const { fixture, at, claim } = await bench(t)
  const pki = async (words: string[], output: string): Promise<void> => {
    const { stdout } = await promisify(execFile)('pki', words, { encoding: 'buffer' })
    await writeFile(at(output), stdout)
  }
  await pki(['--gen', '--type', 'ecdsa', '--size', '256', '--outform', 'pem'], 'key.pem')
  await pki(['--req', '--in', at('key.pem'), '--type', 'ecdsa', '--dn', 'CN=whatever', '--outform', 'der'], 'req.der')
  await pki(
    [
      '--est',
      '--url',
      fixture.api.url,
      '--in',
      at('req.der'),
      '--cacert',
      at('ca.pem'),
      '--userpass',
      await claim('pi-swan'),
      '--outform',
      'pem',
    ],
    'first.pem',
  )
  assert.match(new X509Certificate(await readFile(at('first.pem'))).subject, /CN=pi-swan/)
  await pki(
    [
      '--est',
      '--url',
      fixture.api.url,
      '--in',
      at('req.der'),
      '--cacert',
      at('ca.pem'),
      '--cert',
      at('first.pem'),
      '--key',
      at('key.pem'),
      '--outform',
      'pem',
    ],
    'second.pem',
  )
  assert.match(new X509Certificate(await readFile(at('second.pem'))).subject, /CN=pi-swan/)
  await pki(
    ['--estca', '--url', fixture.api.url, '--cacert', at('ca.pem'), '--caout', at('estca'), '--outform', 'pem'],
    'estca.log',
  )
})
