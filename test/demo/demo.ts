import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newSshKeyPair } from '#sim/ssh-key-pair.ts'
import { sshThroughForward } from '#test/demo/ssh-through-forward.ts'
import { Steps } from '#test/demo/steps.ts'
import { Program, type ProgramName, run, runCommand } from '#test/lab/program.ts'

/**
 * The main job, end to end, with separate processes, real UDP and the machine's OpenSSH: a broker, a fleet of simulated devices
 * behind a NAT, and an operator. Each step checks what it claims.
 */
export interface DemoOptions {
  devices: number
  /** Breaks one part on purpose, so that a test sees the demonstration fail. */
  broken?: 'nat' | 'sshd' | 'broker' | undefined
  /** The longest wait of a step, ms. */
  patience: number
  say: (line: string) => void
}

export async function demo({ devices, broken, patience, say }: DemoOptions): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'adit-demo-'))
  const data = join(folder, 'broker')
  const env = { ADIT_STATE: join(folder, 'operator') }
  const running: Program[] = []
  const steps = new Steps(say)
  const names = Array.from({ length: devices }, (_, i) => `pi-${i + 1}`)
  const reached = names.slice(0, 2)

  /** Runs a program that must succeed, and gives what it said. */
  const must = async (name: ProgramName, args: readonly string[], input?: string): Promise<string> => {
    const result = await run(name, args, { env, timeoutMs: patience, ...(input === undefined ? {} : { input }) })
    if (result.status !== 0) throw new Error(`${name} ${args[0]}: ${result.stderr.trim() || `ended with ${result.status}`}`)
    return result.stdout
  }
  const createClaim = async (...args: string[]): Promise<string> => {
    const said = JSON.parse(await must('adit-broker', ['claim', 'create', '--data', data, '--json', ...args]))
    return said.claim
  }

  try {
    const broker = await steps.step(
      'a broker starts',
      async () => {
        const args = ['run', '--data', data, '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0', '--json']
        const program = Program.start('adit-broker', args)
        running.push(program)
        return { program, ready: await program.event(({ event }) => event === 'ready', patience) }
      },
      ({ ready }) => `udp ${ready.listen}, ${ready.api}`,
    )

    const deviceClaim = await steps.step('a claim for the devices', () =>
      createClaim('--role', 'device', '--name', 'pi-{n}', '--uses', String(devices), '--ttl', '1h', '--tag', 'demo'),
    )

    const key = join(folder, 'id_ed25519')
    const pair = newSshKeyPair()
    writeFileSync(key, pair.private, { mode: 0o600 })
    writeFileSync(`${key}.pub`, `${pair.public}\n`)

    await steps.step(
      `${devices} devices enrol and open tunnels through a NAT`,
      async () => {
        const faults = broken === 'nat' || broken === 'sshd' ? ['--fault', broken] : []
        const args = [
          'fleet',
          '--devices',
          String(devices),
          '--claim',
          '-',
          '--nat',
          'port-restricted',
          '--authorized-keys',
          `${key}.pub`,
        ]
        const fleet = Program.start('adit-sim', [...args, '--reading-interval', '1s', '--json', ...faults], {
          input: deviceClaim,
        })
        running.push(fleet)
        const ups = (events: readonly { event?: unknown }[]) => events.filter(({ event }) => event === 'up').length
        return fleet.eventsUntil((events) => ups(events) >= devices, patience)
      },
      () => names.join(' '),
    )

    const operatorClaim = await steps.step('an operator is invited, and granted port 22 of tag demo', async () => {
      const claim = await createClaim('--role', 'operator', '--name', 'you')
      await must('adit', ['login', '--claim', '-'], claim)
      await must('adit-broker', ['grant', 'add', '--data', data, '--operator', 'you', '--tag', 'demo', '--port', '22'])
      return claim
    })

    await steps.step('the same claim a second time is refused', async () => {
      const again = await run('adit', ['login', '--claim', '-'], {
        env: { ADIT_STATE: join(folder, 'thief') },
        input: operatorClaim,
      })
      assert.notEqual(again.status, 0)
      assert.match(again.stderr, /claim-used/)
    })

    if (broken === 'broker') await broker.program.stop('SIGKILL')

    await steps.step(
      'adit devices',
      async () => {
        const listed = JSON.parse(await must('adit', ['devices', '--json'])) as { name: string; state: string }[]
        assert.deepEqual(
          listed
            .filter(({ state }) => state === 'up')
            .map(({ name }) => name)
            .sort(),
          [...names].sort(),
        )
        return listed
      },
      (listed) => `${listed.length} up`,
    )

    const openssh = (await runCommand('ssh', ['-V']).catch(() => undefined))?.stderr.trim()
    if (openssh === undefined)
      say('        (no OpenSSH on this machine: the ssh steps use a client of our own through adit forward)')
    for (const name of reached) {
      await steps.step(
        `adit ssh ${name} -- uname -a`,
        async () => {
          const said = openssh
            ? await must('adit', ['ssh', '-i', key, '-l', 'pi', '-o', 'BatchMode=yes', name, '--', 'uname', '-a'])
            : await sshThroughForward({ device: name, user: 'pi', privateKey: pair.private, command: 'uname -a', env, patience })
          assert.match(said, new RegExp(`^Linux ${name} `))
          return said.trim()
        },
        (said) => said,
      )
    }

    await steps.step(
      `adit telemetry ${names[0]}`,
      async () => {
        const lines = (await must('adit', ['telemetry', names[0]!, '--json'])).trim().split('\n').filter(Boolean)
        const readings = lines.map(
          (line) => JSON.parse(line) as { name: string; value: number; unit: string; boot: number; seq: number },
        )
        const flow = readings.filter(({ name }) => name === 'flow')
        assert.ok(flow.length > 0, 'no reading of the flow sensor has arrived')
        assert.equal(new Set(readings.map(({ boot, seq }) => `${boot} ${seq}`)).size, readings.length, 'a reading came twice')
        return { count: readings.length, last: flow.at(-1)! }
      },
      ({ count, last }) => `${count} readings, flow ${last.value} ${last.unit}`,
    )

    await steps.step('an operator without a grant sees nothing and reaches nothing', async () => {
      const stranger = { ADIT_STATE: join(folder, 'stranger') }
      const claim = await createClaim('--role', 'operator', '--name', 'stranger')
      assert.equal((await run('adit', ['login', '--claim', '-'], { env: stranger, input: claim })).status, 0)
      assert.deepEqual(JSON.parse((await run('adit', ['devices', '--json'], { env: stranger })).stdout), [])
      const refused = await run('adit', ['ssh', '-i', key, '-l', 'pi', names[0]!, '--', 'uname'], {
        env: stranger,
        timeoutMs: patience,
      })
      assert.notEqual(refused.status, 0)
    })

    await steps.step(
      'the audit log has it all',
      async () => {
        const log = await must('adit-broker', ['audit', '--data', data, '--json'])
        const rows = log
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as { actor: string; action: string; subject: string })
        const flows = rows.filter(({ actor, action }) => actor === 'operator:you' && action === 'flow.open')
        assert.deepEqual(
          [...new Set(flows.map(({ subject }) => subject))],
          reached.map((name) => `device:${name}`),
        )
        return rows.length
      },
      (rows) => `${rows} rows`,
    )
    say(`\nEverything above truly happened, in ${steps.seconds.toFixed(1)} s.`)
  } finally {
    // tunnel processes stay for a minute after their last user; these have no more users to come
    await Promise.all(
      ['operator', 'stranger'].map((state) => run('adit', ['logout'], { env: { ADIT_STATE: join(folder, state) } })),
    )
    await Promise.all(running.reverse().map((program) => program.stop()))
    rmSync(folder, { recursive: true, force: true })
  }
}
