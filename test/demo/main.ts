import { parseArgs } from 'node:util'
import { demo } from '#test/demo/demo.ts'

const { values } = parseArgs({
  options: { devices: { type: 'string', default: '4' }, break: { type: 'string' }, patience: { type: 'string', default: '30' } },
})
const say = (line: string): void => void process.stdout.write(`${line}\n`)

say('adit, the main job end to end: separate processes, real UDP, nothing outside this machine\n')
try {
  await demo({
    devices: Number(values.devices),
    broken: values.break as 'nat' | 'sshd' | 'broker' | undefined,
    patience: Number(values.patience) * 1_000,
    say,
  })
} catch (error) {
  process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
