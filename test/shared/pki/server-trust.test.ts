import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { judgeServer, type Trust } from '#shared/pki/server-trust.ts'
import { type Clock, instant, wallTime } from '#shared/time/instant.ts'
import { TimeFloor } from '#shared/time/time-floor.ts'
import { begin, end, type Made, makeCa, makeLeaf, makeRoot } from '#test/shared/pki/built-chain.ts'

const buildTime = Date.UTC(2025, 10, 1)
const twentyYears = 20 * 365.25 * 86_400_000
const root = makeRoot({ notAfter: begin + twentyYears })
const ca = makeCa(root, { notAfter: begin + twentyYears })
const leaf = makeLeaf(ca)
const host = 'broker.example.com'
const pinned: Trust = { rootFingerprint: suite.hash('sha256', root.certificate.der) }
const stored: Trust = { rootDer: root.certificate.der }

function verdict(chain: readonly Made[], trust: Trust, floor: number, name = host): string {
  try {
    judgeServer(
      chain.map(({ certificate }) => certificate.der),
      name,
      trust,
      wallTime(floor),
      suite,
    )
    return 'accepted'
  } catch (error) {
    assert.ok(error instanceof PkiError)
    return error.code
  }
}

test('a chain is accepted up to the pinned root, sent along, or the stored one', () => {
  assert.equal(verdict([leaf, ca, root], pinned, begin), 'accepted')
  assert.equal(verdict([leaf, ca], stored, begin), 'accepted')
  assert.equal(verdict([leaf, ca], pinned, begin), 'issuer-unknown', 'the fingerprint alone proves nothing')
  const other = makeRoot()
  const otherCa = makeCa(other)
  assert.equal(verdict([makeLeaf(otherCa), otherCa, other], pinned, begin), 'issuer-unknown')
  assert.notEqual(verdict([makeLeaf(otherCa), otherCa, root], pinned, begin), 'accepted', 'the right root beside a wrong chain')
  assert.equal(verdict([leaf, ca, root], pinned, begin, 'other.example.com'), 'name-mismatch')
  assert.equal(verdict([leaf, ca, root], pinned, begin, '[2001:db8::1]'), 'name-mismatch')
  assert.equal(verdict([], pinned, begin), 'certificate-malformed')
})

test('what was proven carries a time that has passed', () => {
  const proof = judgeServer(
    [leaf, ca, root].map((made) => made.certificate.der),
    host,
    pinned,
    wallTime(0),
    suite,
  )
  assert.equal(proof.notBefore, begin)
  assert.deepEqual(proof.rootDer, root.certificate.der)
})

class WrongClock implements Clock {
  at = 0
  now = () => instant(0)
  wall = () => wallTime(this.at)
}

test('F-05 clock in 1970: the floor decides, the chain is accepted though it begins after it', () => {
  const clock = new WrongClock()
  const floor = new TimeFloor(clock, buildTime)
  assert.ok(floor.isUnsure)
  assert.equal(verdict([leaf, ca, root], pinned, floor.floor), 'accepted')
  const proof = judgeServer(
    [leaf, ca, root].map((made) => made.certificate.der),
    host,
    pinned,
    floor.floor,
    suite,
  )
  floor.raise(proof.notBefore)
  assert.equal(floor.floor, begin, 'the CA’s signature says that it is at least this late')
})

test('F-05 clock twenty years ahead and back: nothing expires, nothing is remembered', () => {
  const clock = new WrongClock()
  const floor = new TimeFloor(clock, buildTime, begin)
  clock.at = begin + twentyYears
  assert.equal(verdict([leaf, ca], stored, floor.floor), 'accepted')
  clock.at = begin + 1000
  assert.equal(floor.floor, begin)
  assert.equal(verdict([leaf, ca], stored, floor.floor), 'accepted')
})

test('F-05 a certificate that ended before the floor has expired, whatever the clock says', () => {
  const clock = new WrongClock()
  const floor = new TimeFloor(clock, buildTime)
  floor.raise(end + 1)
  assert.equal(verdict([leaf, ca], stored, floor.floor), 'expired')
  floor.raise(begin)
  assert.equal(verdict([leaf, ca], stored, floor.floor), 'expired', 'the floor is never lowered')
})
