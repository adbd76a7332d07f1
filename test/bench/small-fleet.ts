import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { buildBundle, Program, run } from '#test/lab/program.ts'

/** One broker, one device and one operator, as separate processes of the bundle on loopback: what the whole-path figures need. */
export interface SmallFleet {
  readonly folder: string
  readonly broker: Program
  readonly agent: Program
  readonly device: string
  readonly env: { readonly ADIT_STATE: string }
  close(): Promise<void>
}

const patience = 60_000

export async function startSmallFleet(
  services: readonly string[],
  grantedPorts: readonly number[],
  agentArgs: readonly string[] = [],
  suite: SuiteName = 'noise',
): Promise<SmallFleet> {
  buildBundle()
  const folder = mkdtempSync(join(tmpdir(), 'adit-bench-'))
  const data = join(folder, 'broker')
  const state = join(folder, 'agent')
  const env = { ADIT_STATE: join(folder, 'operator') }
  const must = async (name: 'adit-broker' | 'adit-agent' | 'adit', args: readonly string[], input?: string): Promise<string> => {
    const { status, stdout, stderr } = await run(name, args, {
      env,
      bundle: true,
      timeoutMs: patience,
      ...(input === undefined ? {} : { input }),
    })
    if (status !== 0) throw new Error(`${name} ${args.join(' ')}: ${stderr}`)
    return stdout
  }
  const claim = async (role: string, ...args: string[]): Promise<string> =>
    JSON.parse(await must('adit-broker', ['claim', 'create', '--data', data, '--role', role, ...args, '--json'])).claim

  const broker = Program.start(
    'adit-broker',
    ['run', '--data', data, '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0', '--json'],
    { bundle: true },
  )
  await broker.event(({ event }) => event === 'ready', patience)
  await must(
    'adit-agent',
    ['enrol', '--state', state, '--claim', '-'],
    await claim('device', '--name', 'bench-1', '--tag', 'bench'),
  )
  const serviceArgs = services.flatMap((service) => ['--service', service])
  const mqtt = agentArgs.includes('--mqtt') ? [] : ['--mqtt', 'off']
  const agent = Program.start(
    'adit-agent',
    ['run', '--state', state, '--suite', suite, ...serviceArgs, ...mqtt, ...agentArgs, '--json'],
    {
      bundle: true,
    },
  )
  await agent.event(({ event }) => event === 'up', patience)
  await must('adit', ['login', '--claim', '-', '--suite', suite], await claim('operator', '--name', 'bench'))
  const ports = grantedPorts.flatMap((port) => ['--port', String(port)])
  await must('adit-broker', ['grant', 'add', '--data', data, '--operator', 'bench', '--tag', 'bench', ...ports])

  return {
    folder,
    broker,
    agent,
    device: 'bench-1',
    env,
    async close() {
      await run('adit', ['logout'], { env, bundle: true })
      await agent.stop()
      await broker.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
