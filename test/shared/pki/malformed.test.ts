import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodeCertsOnly } from '#shared/pki/certs-only.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { verifyRequest } from '#shared/pki/request.ts'

const vectors = process.env.ADIT_VECTORS ?? join(import.meta.dirname, '../../../../shared/vectors')
const folder = join(vectors, 'x509')
const skip = existsSync(folder) ? false : `no vectors in ${folder}`
const enrolment = suite.x25519.generate()

/** Parsers of a stranger's bytes: they return, or throw PkiError. */
const parsers: Record<string, (der: Uint8Array) => unknown> = {
  parseCertificate,
  decodeCertsOnly,
  verifyRequest: (der) => verifyRequest(der, enrolment, suite),
}

/** How many were accepted. */
function feed(name: string, inputs: Iterable<Uint8Array>): number {
  let accepted = 0
  for (const input of inputs) {
    try {
      parsers[name]?.(input)
      accepted += 1
    } catch (error) {
      assert.ok(error instanceof PkiError, `${name} threw ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
  return accepted
}

function fuzzCases(file: string): Uint8Array[] {
  const { cases } = JSON.parse(readFileSync(join(folder, 'strongswan-fuzz', file), 'utf8')) as { cases: Record<string, string> }
  return Object.values(cases).map((text) => new Uint8Array(Buffer.from(text, 'base64')))
}

for (const file of ['certs.json', 'certs-crash.json', 'crls.json', 'ocsp_rsp.json', 'ids.json']) {
  test(`A-38 fuzzing corpus ${file}: every parser answers with a value or a PkiError`, { skip }, () => {
    const began = performance.now()
    const inputs = fuzzCases(file)
    for (const name of Object.keys(parsers)) feed(name, inputs)
    assert.ok(performance.now() - began < 10_000)
  })
}

function* pycaFiles(): Iterable<Uint8Array> {
  for (const sub of readdirSync(join(folder, 'pyca'))) {
    for (const name of readdirSync(join(folder, 'pyca', sub))) {
      const bytes = readFileSync(join(folder, 'pyca', sub, name))
      if (name.endsWith('.der')) yield new Uint8Array(bytes)
      else
        for (const label of ['CERTIFICATE', 'CERTIFICATE REQUEST', 'X509 CRL']) yield* decodePem(label, bytes.toString('latin1'))
    }
  }
}

test('A-38 malformed and odd certificates, requests and lists of pyca', { skip }, () => {
  assert.ok(feed('parseCertificate', pycaFiles()) > 20, 'the good ones are read')
  feed('verifyRequest', pycaFiles())
  feed('decodeCertsOnly', pycaFiles())
})

test('RFC 7030’s example of cacerts is read', { skip }, () => {
  const text = readFileSync(join(folder, 'est', 'rfc7030.json'), 'utf8')
  const found = [...text.matchAll(/"(MII[A-Za-z0-9+/=\\nr\s]+)"/g)].map(
    ([, body = '']) => new Uint8Array(Buffer.from(body.replace(/\\[nr]/g, ''), 'base64')),
  )
  assert.ok(feed('decodeCertsOnly', found) >= 1)
})
