import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { subjectIkeId } from '#shared/ikev2/certificate-id.ts'
import type { ResumptionTicket } from '#shared/ikev2/ike-output.ts'
import type { AuthenticatedPeer } from '#shared/ikev2/peer-policy.ts'
import { openTicket, proofEnds, sealTicket } from '#shared/ikev2/session-ticket.ts'
import { wallTime } from '#shared/time/instant.ts'
import { ExchangeType } from '#shared/wire/ike-numbers.ts'
import { makeLeaf, makeRoot } from '#test/shared/pki/built-chain.ts'
import { TwoEnds } from './two-ends.ts'
import { assertWorking } from './working.ts'

const key = nativeSuite.random(32)
const gateway = { context: { ticketKeys: [key] } }

function ticketOf(town: TwoEnds): ResumptionTicket {
  const output = town.a.said.find((one) => one.kind === 'ticket')
  assert.ok(output?.kind === 'ticket')
  return output.ticket
}

describe('session resumption (RFC 5723)', () => {
  test('a ticket brings the peer back after a restart of the gateway, without a key exchange', () => {
    const ticket = ticketOf(new TwoEnds({ b: gateway }).connect())
    const town = new TwoEnds({ seed: 2, b: gateway, initiation: { ticket } })
    town.initiate()
    assert.equal(town.wire[0]!.exchange, ExchangeType.IkeSessionResume)
    town.connect()
    assertWorking(town)
    const said = town.b.said.find((one) => one.kind === 'authenticated')
    assert.ok(said?.kind === 'authenticated' && said.resumed)
    assert.equal(said.peer.idText, 'a.example')
    assert.notDeepEqual(ticketOf(town).opaque, ticket.opaque, 'a fresh ticket comes with it')
  })

  test('a ticket of an older key of the gateway is taken', () => {
    const ticket = ticketOf(new TwoEnds({ b: gateway }).connect())
    const rotated = { context: { ticketKeys: [nativeSuite.random(32), key] } }
    const town = new TwoEnds({ b: rotated, initiation: { ticket } }).connect()
    assertWorking(town)
  })

  test('a ticket that is not known is answered by TICKET_NACK, and the usual exchange follows', () => {
    const ticket = ticketOf(new TwoEnds({ b: gateway }).connect())
    const forgetful = { context: { ticketKeys: [nativeSuite.random(32)] } }
    const town = new TwoEnds({ b: forgetful, initiation: { ticket } }).connect()
    assertWorking(town)
    const said = town.b.said.find((one) => one.kind === 'authenticated')
    assert.ok(said?.kind === 'authenticated' && !said.resumed)
  })

  test('who has the ticket but not the secret is not let in', () => {
    const ticket = ticketOf(new TwoEnds({ b: gateway }).connect())
    const town = new TwoEnds({ b: gateway, initiation: { ticket: { ...ticket, skD: nativeSuite.random(32) } } })
    town.initiate()
    town.settle()
    assert.equal(town.b.ike.state, 'half-open')
    assert.equal(town.a.ike.state, 'initiating')
    assert.deepEqual(town.b.kinds(), [])
  })

  test('a peer that has been revoked meanwhile is refused', () => {
    const ticket = ticketOf(new TwoEnds({ b: gateway }).connect())
    const refusing = { ...gateway, owner: { admit: () => ({ refused: 'revoked', mendHere: 'x', mendThere: 'y' }) } }
    const town = new TwoEnds({ b: refusing, initiation: { ticket } }).connect()
    assert.deepEqual(town.b.failures(), ['auth refused'])
    assert.equal(town.a.closedWhy(), 'refused')
  })

  test('tickets open under their key until they expire, and not with a bit changed', () => {
    const ticket = ticketOf(new TwoEnds({ b: gateway }).connect())
    const peer = ticket.peer
    const content = { expires: wallTime(1_000_000), chosen: ticket.algorithms, skD: ticket.skD, peer }
    const sealed = sealTicket(nativeSuite, key, content)!
    const opened = openTicket(nativeSuite, [key], sealed, wallTime(999_999))
    assert.deepEqual(opened?.peer, peer)
    assert.deepEqual(opened?.chosen.transforms, ticket.algorithms.transforms)
    assert.deepEqual(opened?.skD, ticket.skD)
    assert.equal(openTicket(nativeSuite, [key], sealed, wallTime(1_000_000)), undefined)
    assert.equal(openTicket(nativeSuite, [nativeSuite.random(32)], sealed, wallTime(1)), undefined)
    for (let at = 0; at < sealed.length; at++) {
      const bent = sealed.slice()
      bent[at]! ^= 1
      assert.equal(openTicket(nativeSuite, [key], bent, wallTime(1)), undefined)
    }
    for (let length = 0; length < sealed.length; length++)
      assert.equal(openTicket(nativeSuite, [key], sealed.subarray(0, length), wallTime(1)), undefined)
  })

  test('a certificate is in the ticket, for the owner to ask about', () => {
    const leaf = makeLeaf(makeRoot())
    const spkiSha256 = toHex(nativeSuite.hash('sha256', leaf.spki))
    const peer: AuthenticatedPeer = {
      id: subjectIkeId(leaf.certificate),
      idText: 'CN=broker.example.com',
      proof: { kind: 'certificate', certificate: leaf.certificate, spkiSha256 },
    }
    const chosen = ticketOf(new TwoEnds({ b: gateway }).connect()).algorithms
    const sealed = sealTicket(nativeSuite, key, { expires: wallTime(10), chosen, skD: new Uint8Array(32), peer })!
    const opened = openTicket(nativeSuite, [key], sealed, wallTime(1))?.peer
    assert.ok(opened?.proof.kind === 'certificate')
    assert.deepEqual([opened.idText, opened.id, opened.proof.spkiSha256], [peer.idText, peer.id, spkiSha256])
    assert.deepEqual(opened.proof.certificate.der, leaf.certificate.der)
    // What is issued to who has come back says the same again, and ends with the certificate.
    const again = sealTicket(nativeSuite, key, { expires: wallTime(10), chosen, skD: new Uint8Array(32), peer: opened })!
    const reopened = openTicket(nativeSuite, [key], again, wallTime(1))!.peer
    assert.ok(reopened.proof.kind === 'certificate')
    assert.deepEqual(reopened.proof.certificate.der, leaf.certificate.der)
    for (const each of [peer, opened, reopened]) assert.equal(proofEnds(each), leaf.certificate.notAfter)
  })

  test('a return and its next ticket are made without parsing the certificate', () => {
    const leaf = makeLeaf(makeRoot())
    // Nobody can parse this one: who tries throws.
    const certificate = { ...leaf.certificate, der: Uint8Array.of(0x30, 0x80) }
    const proof = { kind: 'certificate', certificate, spkiSha256: '00'.repeat(32) } as const
    const peer: AuthenticatedPeer = { id: subjectIkeId(leaf.certificate), idText: 'CN=x', proof }
    const chosen = ticketOf(new TwoEnds({ b: gateway }).connect()).algorithms
    const content = { expires: wallTime(10), chosen, skD: new Uint8Array(32) }
    const opened = openTicket(nativeSuite, [key], sealTicket(nativeSuite, key, { ...content, peer })!, wallTime(1))!.peer
    assert.ok(sealTicket(nativeSuite, key, { ...content, peer: opened }) !== undefined)
    assert.equal(proofEnds(opened), leaf.certificate.notAfter)
    assert.throws(() => opened.proof.kind === 'certificate' && opened.proof.certificate)
  })
})
