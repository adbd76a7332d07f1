import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { DeviceStatus } from '#agent/device/status.ts'
import { Fleet } from '#test/lab/fleet.ts'
import { NatNetwork } from '#test/lab/nat-network.ts'

const minutes = Number(process.env.ADIT_SOAK_MINUTES ?? 30)
/** In which the network is learned and the first configuration read: no part of what an idle month is. */
const settling = 8 * 60_000
/** Whoever asks an agent how it is makes it prove its path, for a while: that is no part of it either. */
const afterLook = 60_000
const month = 30 * 86_400_000

/** Every octet of a real agent behind a real NAT, with IP headers, as the kernel counts them at the device's interface. */
test(`an idle device behind a NAT of 120 s, ${minutes} minutes: what a month would cost`, {
  timeout: (minutes + 15) * 60_000,
}, async (t) => {
  const { dev, srv, server } = new NatNetwork(t, { kind: 'symmetric', mapping: { fresh: 30, answered: 120 } })
  // Neighbour discovery of the kernel is no part of the tunnel; what the agent says to the API is.
  dev.nft(`table ip measured {
    counter in { }
    counter out { }
    chain input { type filter hook input priority 0; udp sport 4500 counter name in; tcp sport 8443 counter name in; }
    chain output { type filter hook output priority 0; udp dport 4500 counter name out; tcp dport 8443 counter name out; }
  }`)
  const fleet = await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443` })
  const state = mkdtempSync(join(tmpdir(), 'adit-idle-'))
  t.after(() => rmSync(state, { recursive: true, force: true }))
  writeFileSync(join(state, 'config.toml'), '[readings]\nvitals = "off"\n', { mode: 0o600 })
  const device = await fleet.device('pi', { prefix: dev.prefix, state })
  await wait(settling)
  const octets = (): number =>
    [...dev.run('nft', '-j', 'list', 'counters').matchAll(/"bytes": ?(\d+)/g)].reduce((sum, [, bytes]) => sum + Number(bytes), 0)
  const own = await device.status<DeviceStatus>()
  const atLook = octets()
  await wait(afterLook)
  const before = octets()
  await wait(minutes * 60_000)
  const spent = octets() - before
  const now = await device.status<DeviceStatus>()
  const megabytes = ((spent / (minutes * 60_000)) * month) / 1e6
  t.diagnostic(
    `${spent} octets in ${minutes} min at an interval of ${own.data.keepaliveSeconds} s: ${megabytes.toFixed(3)} MB a month`,
  )
  const all = octets() - atLook
  const counted = now.data.sentBytes + now.data.receivedBytes - own.data.sentBytes - own.data.receivedBytes
  t.diagnostic(`${all} with both looks at it, of which the agent itself counted ${counted}`)
  // The second look's proofs may be counted by the one and not yet by the other.
  assert.ok(Math.abs(counted - all) <= 0.02 * all + 3_000, 'the agent counts as the kernel does')
  assert.ok(megabytes <= 1.1, `${megabytes} MB a month`)
})
