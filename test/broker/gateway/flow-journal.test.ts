import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FlowJournal } from '#broker/gateway/flow-journal.ts'
import type { AuditEntry } from '#broker/registry/audit-log.ts'
import type { Directory } from '#broker/registry/directory.ts'
import { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { silentLog } from '#shared/platform/log.ts'
import { instant, wallTime } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { ipPacket, tcp, udp } from '#test/shared/dataplane/packets.ts'

const ann = { id: 1, peerKey: 'aa' } as Association
const pi = { id: 2, peerKey: 'bb' } as Association
const known: Record<string, unknown> = {
  aa: { kind: 'operator', name: 'ann', id: 11 },
  bb: { kind: 'device', name: 'pi', id: 22 },
}

function setUp() {
  const rows: AuditEntry[] = []
  const append = (entry: AuditEntry): Promise<void> => {
    rows.push(entry)
    return Promise.resolve()
  }
  const directory = { byPeerKey: (key: string) => known[key] } as Pick<Directory, 'byPeerKey'>
  const journal = new FlowJournal({
    audit: { append },
    directory,
    clock: { now: () => instant(0), wall: () => wallTime(0) },
    log: silentLog,
  })
  return { rows, journal }
}

function packetTo(port: number): InnerPacket {
  const packet = new InnerPacket()
  const bytes = ipPacket({ from: '10.0.0.1', to: '10.0.0.2', protocol: 6, body: tcp(5_000, port, 2) })
  packet.read(bytes, bytes.length)
  return packet
}

test('the same refusal is written once, then counted, and its count is written after a minute', () => {
  const { rows, journal } = setUp()
  for (let i = 0; i < 1_000; i++) journal.refused(packetTo(23), ann, pi, instant(i))
  const row = { actor: 'operator:ann', action: 'flow.refused', subject: 'device:pi', deviceId: 22 }
  assert.deepEqual(rows, [{ ...row, detail: { protocol: 'tcp', port: 23 } }])
  journal.flush(instant(59_999))
  assert.equal(rows.length, 1)
  journal.flush(instant(60_000))
  assert.deepEqual(rows[1], { ...row, detail: { protocol: 'tcp', port: 23, repeated: 999 } })
})

test('a scan of all ports costs 200 rows at once and 20 a second, the rest is a number', () => {
  const { rows, journal } = setUp()
  for (let port = 1; port <= 10_000; port++) journal.refused(packetTo(port), ann, pi, instant(0))
  assert.equal(rows.length, 200)
  assert.equal(journal.suppressed, 9_800)
  for (let port = 10_001; port <= 11_000; port++) journal.refused(packetTo(port), ann, pi, instant(1_000))
  assert.equal(rows.length, 220)
})

test('P-30 a spoofed source is told with the name of its sender', () => {
  const { rows, journal } = setUp()
  const packet = new InnerPacket()
  const bytes = ipPacket({ from: 'fd00::99', to: 'fd00::1', body: udp(1, 2) })
  packet.read(bytes, bytes.length)
  journal.spoofed(packet, pi, instant(0))
  journal.spoofed(packet, pi, instant(1))
  assert.deepEqual(rows, [
    { actor: 'device:pi', action: 'packet.spoofed', subject: 'broker', deviceId: 22, detail: { claimed: 'fd00::99' } },
  ])
})
