import assert from 'node:assert/strict'
import { once } from 'node:events'
import test from 'node:test'
import { connect, type SecureVersion, type TLSSocket } from 'node:tls'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { bitString, element, oid, sequence, setOf, smallInteger, utf8String } from '#shared/pki/der-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { algorithms, requestAttributes } from '#shared/pki/oids.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'

/** A request whose challengePassword is `challenge`, as libest makes it. */
function requestWith(challenge: string): Uint8Array {
  const identity = suite.ecdsaP256.generate()
  const attribute = sequence(oid(requestAttributes.challengePassword), setOf(utf8String(challenge)))
  const body = sequence(smallInteger(0), commonName('pi'), p256Spki(identity.publicKey), element(0xa0, attribute))
  return sequence(body, sequence(oid(algorithms.ecdsaSha256)), bitString(suite.ecdsaP256.sign(identity, body)))
}

interface Connected {
  socket: TLSSocket
  /** Status of a simpleenroll on this connection. */
  enrol(challenge: string): Promise<number>
}

async function connected(fixture: ApiFixture, version: SecureVersion, session?: Buffer): Promise<Connected> {
  const { hostname: host, port } = new URL(fixture.api.url)
  const options = { host, port: Number(port), rejectUnauthorized: false, minVersion: version, maxVersion: version }
  const socket = connect({ ...options, ...(session && { session }) })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return {
    socket,
    async enrol(challenge) {
      const authorization = await fixture.claim({ role: 'device' })
      const body = Buffer.from(requestWith(challenge)).toString('base64')
      const head = `POST /.well-known/est/simpleenroll HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n`
      socket.write(`${head}content-type: application/pkcs10\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
      const [answer] = (await once(socket, 'data')) as [Buffer]
      return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer.toString('latin1'))?.[1])
    },
  }
}

const exporter = (socket: TLSSocket): string =>
  socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)).toString('base64')

test('A-37 with TLS 1.2 a challenge must be tls-unique of its own connection (RFC 7030 §3.5)', async (t) => {
  const fixture = await ApiFixture.open(t)
  const first = await connected(fixture, 'TLSv1.2')
  const unique = first.socket.getFinished()!.toString('base64')
  const session = first.socket.getSession()
  const other = await connected(fixture, 'TLSv1.2')
  assert.equal(await other.enrol(unique), 400, 'that of another connection')
  assert.equal(await first.enrol(unique), 200)
  // A resumed session begins with the server's Finished.
  const resumed = await connected(fixture, 'TLSv1.2', session)
  assert.ok(resumed.socket.isSessionReused())
  assert.equal(await resumed.enrol(resumed.socket.getPeerFinished()!.toString('base64')), 200)
  for (const { socket } of [first, other, resumed]) socket.destroy()
})

test('A-37 with TLS 1.3, which has no tls-unique, tls-exporter takes its place (RFC 9266)', async (t) => {
  const fixture = await ApiFixture.open(t)
  const own = await connected(fixture, 'TLSv1.3')
  const value = exporter(own.socket)
  assert.equal(await own.enrol(value), 200)
  own.socket.destroy()
  for (const wrong of [value, 'password', '']) {
    const bare = await connected(fixture, 'TLSv1.3')
    assert.equal(await bare.enrol(wrong), 400)
    bare.socket.destroy()
  }
})
