import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodeCertsOnly } from '#shared/pki/certs-only.ts'
import { DerReader } from '#shared/pki/der.ts'
import { tunnelKeyAttribute } from '#shared/pki/oids.ts'
import { type Answer, ApiFixture, certificateIn } from '#test/broker/api/api-fixture.ts'

const keys = () => ({ identity: suite.ecdsaP256.generate(), tunnel: suite.x25519.generate() })
const est = '/.well-known/est'
const certificatesIn = ({ body }: Answer): Uint8Array[] => decodeCertsOnly(new Uint8Array(Buffer.from(body.toString(), 'base64')))

async function enrolAt(fixture: ApiFixture, path: string, authorization: string): Promise<Answer> {
  const request = fixture.request(keys())
  const headers = { authorization, 'content-type': 'application/pkcs10', accept: 'application/json' }
  return fixture.ask(path, { method: 'POST', headers, body: Buffer.from(request).toString('base64') })
}

test('a label is the CA of one role: its certificates alone, its claims alone', async (t) => {
  const fixture = await ApiFixture.open(t)
  for (const role of ['device', 'operator', 'station'] as const) {
    const names = certificatesIn(await fixture.ask(`${est}/${role}/cacerts`)).map((der) => parseCertificate(der).subjectKey)
    for (const other of ['device', 'operator', 'station'] as const) {
      const { subjectKey } = parseCertificate(fixture.authority.chainOf(other)[0]!)
      assert.equal(names.includes(subjectKey), other === role, `${other} among those of ${role}`)
    }
    assert.equal((await fixture.ask(`${est}/${role}/csrattrs`)).status, 200)
  }
  const claim = await fixture.claim({ role: 'device', name: 'pi' })
  const elsewhere = await enrolAt(fixture, `${est}/operator/simpleenroll`, claim)
  assert.deepEqual([elsewhere.status, elsewhere.json.error], [401, 'claim-wrong-role'])
  const answer = await enrolAt(fixture, `${est}/device/simpleenroll`, claim)
  const leaf = parseCertificate(certificateIn(answer))
  assert.equal(leaf.issuerKey, parseCertificate(fixture.authority.chainOf('device')[0]!).subjectKey)
  const unknown = await fixture.ask(`${est}/toaster/cacerts`, { headers: { accept: 'application/json' } })
  assert.deepEqual([unknown.status, unknown.json.error], [404, 'not-found'])
  assert.match(unknown.json.mend, /device, operator, station/)
})

test('a certificate renews at its own label and not at another', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  const renew = (label: string): Promise<Answer> =>
    fixture.ask(`${est}/${label}/simplereenroll`, {
      method: 'POST',
      as: device,
      headers: { 'content-type': 'application/pkcs10', accept: 'application/json' },
      body: Buffer.from(fixture.request(device)).toString('base64'),
    })
  const refused = await renew('operator')
  assert.deepEqual([refused.status, refused.json.error], [400, 'request-refused'])
  assert.equal((await renew('device')).status, 200)
})

test('csrattrs asks for the tunnel key, a P-256 key and ecdsa-with-SHA256, as AttrOrOID', async (t) => {
  const fixture = await ApiFixture.open(t)
  const { body } = await fixture.ask(`${est}/csrattrs`)
  const outer = new DerReader(new Uint8Array(Buffer.from(body.toString(), 'base64')))
  const list = outer.sequence()
  outer.end()
  assert.equal(list.oid(), tunnelKeyAttribute)
  const type = list.sequence()
  assert.equal(type.oid(), '1.2.840.10045.2.1')
  const values = new DerReader(type.content(0x31))
  assert.equal(values.oid(), '1.2.840.10045.3.1.7')
  values.end()
  assert.equal(list.oid(), '1.2.840.10045.4.3.2')
  list.end()
})

test('serverkeygen and fullcmc are refused by name, with and without a label, whatever they bring', async (t) => {
  const fixture = await ApiFixture.open(t)
  for (const operation of ['serverkeygen', 'fullcmc'])
    for (const label of ['', '/device'])
      for (const method of ['GET', 'POST']) {
        const path = `${est}${label}/${operation}`
        const body = method === 'POST' ? 'anything' : ''
        const answer = await fixture.ask(path, { method, body, headers: { 'content-type': 'application/pkcs7-mime' } })
        assert.equal(answer.status, 501, path)
        assert.match(answer.body.toString(), new RegExp(`${operation}.*not-offered`, 's'))
      }
})
