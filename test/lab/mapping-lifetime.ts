import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { DeviceStatus } from '#agent/device/status.ts'
import { AgentSocketClient } from '#agent/io/agent-socket.ts'
import { stateFiles } from '#agent/io/state-folder.ts'
import { Fleet } from '#test/lab/fleet.ts'
import { NatNetwork } from '#test/lab/nat-network.ts'

export interface LifetimeTask {
  /** After so many seconds of silence conntrack forgets a mapping that was answered; half of that one that was not. */
  lifetime: number
  /** How long the agent may take to learn it, seconds. */
  patience: number
  /** Its mode of data: in the normal one nothing longer than its budget needs is learned. */
  metered?: boolean
}

/**
 * The kernel's conntrack forgets, and a real agent beside a real broker finds out when (P-05): the interval that it keeps is 0.70 to 0.95 of
 * that, by at most ten probes, and the mapping has not been lost once three lifetimes later.
 */
export async function judgeLifetime(t: TestContext, { lifetime, patience, metered = false }: LifetimeTask): Promise<void> {
  // A mapping that has not been aged would be forgotten sooner: who learns that learns the wrong number.
  const fresh = Math.round(lifetime / 2)
  const { dev, srv, server } = new NatNetwork(t, { kind: 'symmetric', mapping: { fresh, answered: lifetime } })
  const fleet = await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443` })
  const state = join(fleet.folder, 'device-pi')
  if (metered) {
    mkdirSync(state, { mode: 0o700 })
    writeFileSync(join(state, 'config.toml'), '[data]\nmode = "metered"\n', { mode: 0o600 })
  }
  const device = await fleet.device('pi', { prefix: dev.prefix, state })
  const from = performance.now()
  // A process for each look would cost the agents their time.
  const socket = await connected(join(device.state, stateFiles.socket))
  t.after(() => socket.close())
  const statusOf = async (): Promise<DeviceStatus> => (await socket.request({ op: 'status' })) as DeviceStatus
  let { data } = await statusOf()
  while (data.lifetime === 'unasked' || data.lifetime === 'learning') {
    assert.ok(performance.now() - from < patience * 1_000, 'it comes to an end')
    await wait(1_000)
    data = (await statusOf()).data
  }
  const took = Math.round((performance.now() - from) / 1000)
  t.diagnostic(`${lifetime} s: ${data.keepaliveSeconds} s, learned in ${took} s: ${JSON.stringify(data)}`)
  assert.equal(data.lifetime, 'known')
  const share = data.keepaliveSeconds! / lifetime
  // Whole seconds are shown.
  assert.ok(share >= 0.7 - 0.5 / lifetime && share <= 0.95 + 0.5 / lifetime, `${share}`)
  await wait(3 * lifetime * 1_000)
  const later = await statusOf()
  assert.equal(later.data.lifetime, 'known', 'two questions later it has not been lost')
  assert.equal(later.data.keepaliveSeconds, data.keepaliveSeconds)
}

/** The agent says that it is up a moment before it opens the door. */
async function connected(path: string): Promise<AgentSocketClient> {
  for (const from = performance.now(); ; await wait(100)) {
    try {
      return await AgentSocketClient.connect(path)
    } catch (error) {
      if (performance.now() - from > 30_000) throw error
    }
  }
}
