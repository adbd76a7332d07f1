import assert from 'node:assert/strict'
import test from 'node:test'
import { signatureLinks } from '#broker/api/why-signatures.ts'
import type { Statement } from '#shared/fleet/statement.ts'

const asked = { operator: { name: 'ann' }, device: { name: 'pi' }, port: 22 }
const peer = (role: 'device' | 'operator', name: string) => ({ kind: 'peer', role, name }) as Statement
const grant = (from: number, to = from) => ({ kind: 'grant', ports: [{ from, to }] }) as unknown as Statement

test('why names what waits for the fleet key, as a remark, and nothing where all is signed', () => {
  assert.deepEqual(signatureLinks(asked, [peer('device', 'pi'), peer('operator', 'ann'), grant(20, 30)]), [])
  const [nothing] = signatureLinks(asked, [])
  assert.deepEqual([nothing?.code, nothing?.state], ['unsigned', 'warn'])
  assert.match(nothing?.text ?? '', /has not signed device pi, nor operator ann, nor a grant of port 22:/)
  assert.match(nothing?.mend ?? '', /adit fleet sign/)
  const [one] = signatureLinks(asked, [peer('device', 'pi'), peer('operator', 'ann'), grant(80)])
  assert.match(one?.text ?? '', /has not signed a grant of port 22:/)
  const [swapped] = signatureLinks(asked, [peer('operator', 'pi'), peer('device', 'ann'), grant(22)])
  assert.match(swapped?.text ?? '', /has not signed device pi, nor operator ann:/)
})
