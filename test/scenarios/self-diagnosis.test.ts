/** D15 end to end: a device finds that its sshd does not run, tells the broker, and `adit why` says so from afar; `adit doctor` beside it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { Diagnosis } from '#agent/doctor/finding.ts'
import { Fleet } from '#test/lab/fleet.ts'
import { run } from '#test/lab/program.ts'
import { seen } from '#test/lab/seen.ts'

interface Answer {
  verdict: string
  mend: string
  facts: { code: string; state: string; ok: boolean; text: string; mend: string }[]
}

test('D15 a service that does not run: the device tells it within a minute, why and doctor name it, and their statuses', async (t) => {
  const fleet = await Fleet.start(t)
  // Nobody listens at port 9 of loopback.
  const device = await fleet.device('pump', { services: ['ssh=127.0.0.1:9'] })
  const ann = await fleet.operator('ann')
  await fleet.grant('ann', 'pump', 22)

  const here = await run('adit-agent', ['doctor', '--state', device.state])
  assert.equal(here.status, 1)
  assert.match(here.stdout, /^NO {2}service-down +The service ssh is not running at 127\.0\.0\.1:9\.\n +-> Start it/)
  assert.match(here.stdout, /^ok +tunnel +The tunnel is up \(noise over UDP to 127\.0\.0\.1:\d+\)\.$/m)

  const ask = async (): Promise<Answer> => JSON.parse((await ann.run(['why', 'pump', '--json'])).stdout)
  const why = await seen(ask, ({ verdict }) => verdict === 'service-down', {
    timeoutMs: 90_000,
    everyMs: 3_000,
    otherwise: (last) => `why says ${last.verdict}`,
  })
  assert.deepEqual([why.facts[0]!.code, why.facts[0]!.state, why.facts[0]!.ok], ['service-down', 'broken', false])
  assert.match(why.facts[0]!.text, /^pump said \d+ s ago: The service ssh is not running/)
  const words = await ann.run(['why', 'pump'])
  assert.match(words.stdout, /^NO {2}service-down .*\n +-> Start it/)
  assert.equal(words.status, 1, 'something is broken')

  const own = await ann.run(['doctor', '--json'])
  const { verdict, findings } = JSON.parse(own.stdout) as Diagnosis
  assert.equal(own.status, findings.some(({ state }) => state === 'broken') ? 1 : 0)
  assert.equal(verdict, 'ok', own.stdout)

  await device.stop()
  await fleet.broker.stop()
  const blind = JSON.parse((await ann.run(['why', 'pump', '--json'], { timeoutMs: 60_000 })).stdout) as Answer
  assert.equal(blind.verdict, 'broker-stopped', 'where the broker is not reached, this machine is examined')
  const unknown = await run('adit-agent', ['doctor', '--state', `${fleet.folder}/nobody`])
  assert.match(unknown.stderr, /--broker HOST \(not-enrolled\)$/m)
})
