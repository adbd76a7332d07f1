import assert from 'node:assert/strict'
import test from 'node:test'
import { rootsToTrust } from '#agent/core/root-trust.ts'
import { makeNextRoot, makeRoot, writeLink } from '#broker/identity/ca-certificates.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { reachableRoots, rootName } from '#shared/pki/root-succession.ts'
import { days, wallTime } from '#shared/time/instant.ts'

const now = wallTime(Date.UTC(2026, 5, 1))
const roots: Ca[] = [makeRoot(now, suite)]
for (let i = 0; i < 3; i++) roots.push(makeNextRoot(roots.at(-1)!.certificate, now, suite))
const links = roots.slice(1).map(({ certificate }, at) => writeLink(roots[at]!, certificate, now, suite))
const ders = roots.map(({ certificate }) => certificate.der)
const certificates = roots.map(({ certificate }) => certificate)
const reached = (from: number, some: { roots?: readonly Uint8Array[]; links?: readonly Uint8Array[] } = {}, at = now): number[] =>
  reachableRoots([certificates[from]!], { roots: ders, links, ...some }, at, suite).map((root) =>
    certificates.findIndex(({ der }) => Buffer.compare(der, root.der) === 0),
  )

test('who trusts one root reaches all that followed, in whichever order links come, and none before', () => {
  assert.deepEqual(reached(0), [0, 1, 2, 3])
  assert.deepEqual(reached(0, { roots: [...ders].reverse(), links: [...links].reverse() }), [0, 1, 2, 3])
  assert.deepEqual(reached(2), [2, 3])
  assert.deepEqual(reached(3), [3])
  for (const certificate of certificates) assert.deepEqual(fleetIdOf(certificate, suite), fleetIdOf(certificates[0]!, suite))
})

test('a chain that is cut, forged, or of another fleet leads as far as it is good', () => {
  assert.deepEqual(reached(0, { links: [links[0]!, links[2]!] }), [0, 1], 'cut')
  assert.deepEqual(reached(0, { roots: ders.filter((_der, at) => at !== 1) }), [0], 'a root is missing')
  for (let at = 0; at < links[1]!.length; at += 7) {
    const forged = Uint8Array.from(links[1]!)
    forged[at]! ^= 1
    assert.deepEqual(reached(0, { links: [links[0]!, forged, links[2]!] }), [0, 1], `bit of octet ${at}`)
  }
  const thief = makeNextRoot(certificates[0]!, now, suite)
  const own = writeLink(thief, thief.certificate, now, suite)
  assert.deepEqual(reached(0, { roots: [...ders, thief.certificate.der], links: [own] }), [0], 'signed by itself')
  const other = makeRoot(now, suite)
  const misled = writeLink(roots[0]!, other.certificate, now, suite)
  assert.deepEqual(reached(0, { roots: [other.certificate.der], links: [misled] }), [0], 'of another fleet')
  const same = parseCertificate(ders[1]!)
  assert.deepEqual(reached(0, { roots: [same.der.subarray(1)], links }), [0], 'unreadable')
})

test('the floor of time is kept: a root or a link that has ended leads nowhere', () => {
  assert.deepEqual(reached(0, {}, wallTime(now + days(7306))), [0])
  assert.deepEqual(reached(0, {}, wallTime(now - days(1))), [0])
})

test('an agent adds what is signed for, drops what the broker names no more, and never all', () => {
  const name = (at: number): string => rootName(certificates[at]!, suite)
  const told = (...trusted: string[]) => ({ roots: ders, links, trusted })
  const after = (present: number[], ...trusted: string[]) =>
    rootsToTrust(
      present.map((at) => ders[at]!),
      told(...trusted),
      now,
      suite,
    )?.map((root) => rootName(root, suite))
  assert.deepEqual(after([0], name(0), name(1)), [name(0), name(1)])
  assert.deepEqual(after([0, 1], name(1)), [name(1)])
  assert.deepEqual(after([0], name(3)), [name(3)])
  assert.equal(after([3], name(0)), undefined, 'no way back')
  assert.equal(after([1], name(1)), undefined)
  assert.equal(after([1], 'f'.repeat(64)), undefined)
  assert.equal(after([1]), undefined)
})
