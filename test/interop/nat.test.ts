import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { ProberTask } from '#test/interop/prober-child.ts'
import { Fleet, type Operator } from '#test/lab/fleet.ts'
import { NatNetwork, type NatNetworkOptions } from '#test/lab/nat-network.ts'
import { Program } from '#test/lab/program.ts'
import { SshTicks } from '#test/lab/ssh-ticks.ts'
import { Sshd } from '#test/lab/sshd.ts'

/** A device behind a NAT of Linux: the kernel's conntrack decides what passes, none of our own simulations. */

interface Place {
  network: NatNetwork
  fleet: Fleet
  ann: Operator
  /** The words of an `adit ssh` to the device. */
  ssh(...command: string[]): string[]
  /** Programs of the broker's host. */
  prefix: readonly string[]
}

async function place(t: TestContext, options: NatNetworkOptions & { loss?: number }): Promise<Place> {
  const network = new NatNetwork(t, options)
  const { dev, srv, server } = network
  const fleet = await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443` })
  const sshd = await Sshd.start(t, { prefix: dev.prefix, port: 22 })
  const ann = await fleet.operator('ann')
  await fleet.grant('ann', 'pi', 22)
  network.lose(options.loss ?? 0)
  await fleet.device('pi', { prefix: dev.prefix, services: [`ssh=${sshd.where}`] })
  const ssh = (...command: string[]): string[] => ['ssh', ...sshd.flags, '-l', sshd.user, 'pi', '--', ...command]
  return { network, fleet, ann, ssh, prefix: srv.prefix }
}

describe('behind a NAT', { concurrency: true }, () => {
  for (const kind of ['easy', 'symmetric'] as const) {
    test(`${kind}: enrols, comes up and serves ssh with 5 % loss each way; an idle mapping is held; a lost one is replaced`, async (t) => {
      // The keepalive's default of 25 s must hold a mapping that lives 30 s.
      const { network, ann, ssh } = await place(t, { kind, mapping: { fresh: 30, answered: 30 }, loss: 5 })
      assert.equal(await ann.must(ssh('echo', 'first')), 'first\n')
      const bytes = await ann.must(ssh('head -c 1000000 /dev/zero'))
      assert.equal(bytes.length, 1_000_000)
      await wait(45_000)
      network.lose(0)
      assert.equal(await ann.must(ssh('echo', 'held')), 'held\n')

      // An ssh session in which the device speaks lives on over a NAT that forgot it, and over another public address.
      const session = SshTicks.start(t, ann, ssh)
      await session.after(20)
      for (const change of [() => network.forget(), () => network.renumber()]) {
        change()
        const gap = await session.after(20)
        t.diagnostic(`${kind}: longest silence of a session over a lost mapping ${gap} ms`)
        // Some 0.3 s, also by a direct way that dies with its mapping; the rest is for a busy machine.
        assert.ok(gap < 2_000, `${gap} ms`)
      }
      assert.ok(session.isWhole)
      await session.stop()
    })
  }

  test('P-03 a session survives ten changes of the device’s own address', async (t) => {
    const { network, ann, ssh } = await place(t, { kind: 'easy' })
    const session = SshTicks.start(t, ann, ssh)
    await session.after(20)
    const gaps: number[] = []
    for (let move = 0; move < 10; move++) {
      network.moveDevice(move % 2 === 0 ? 9 : 2)
      gaps.push(await session.after(20))
    }
    assert.ok(session.isWhole)
    await session.stop()
    t.diagnostic(`longest silences, ms: ${gaps.join(' ')}`)
    // The exact bar (P-03) is held in virtual time; a busy machine adds its own.
    assert.ok(Math.max(...gaps) < 1_500)
  })

  test('P-07 everything dropped for 13 s, then not: data flows within 2 s, for each of ten agents, three times', async (t) => {
    const network = new NatNetwork(t, { kind: 'easy' })
    const { dev, srv, server } = network
    const fleet = await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443` })
    const count = 10
    const { inner } = await fleet.admin<{ inner: string[] }>('status')
    const task: ProberTask = { inner, agents: [] }
    for (let i = 0; i < count; i++) {
      const { privateKey, publicKey } = nativeSuite.x25519.generate()
      const words = ['--name', `probe-${i}`, '--wireguard', Buffer.from(publicKey).toString('base64')]
      task.agents.push({ privateKey: toHex(privateKey), config: await fleet.adminSays('device', 'add', ...words) })
    }
    const file = join(fleet.folder, 'probers.json')
    writeFileSync(file, JSON.stringify(task))
    const child = [process.execPath, '--import', 'tsx', new URL('./prober-child.ts', import.meta.url).pathname, file]
    const prober = Program.command('ip', [...dev.prefix.slice(1), ...child])
    t.after(() => prober.stop())
    await prober.event(({ event }) => event === 'all-up')
    for (let round = 0; round < 3; round++) {
      await wait(1_000)
      network.block()
      await wait(13_000)
      network.unblock()
      const unblocked = Date.now()
      const firstAnswer = (agent: number): number =>
        Number(prober.events.find((said) => said.agent === agent && Number(said.at) >= unblocked)?.at ?? Number.NaN)
      const agents = task.agents.keys()
      await prober.eventsUntil(() => task.agents.every((_, agent) => firstAnswer(agent) >= unblocked))
      const slowest = Math.max(...[...agents].map(firstAnswer)) - unblocked
      t.diagnostic(`round ${round + 1}: slowest of ${count} after ${slowest} ms`)
      assert.ok(slowest <= 2_000, `${slowest} ms`)
    }
  })
})
