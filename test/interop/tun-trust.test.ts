import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { Program } from '#test/lab/program.ts'
import { seen } from '#test/lab/seen.ts'
import { interfaceUp, reach, TunBed } from './tun-bed.ts'

const config = '[tunnel]\nhost-to-agents = "all"\nagents-to-host = "all"\n'
/** An echo at the device's own addresses, which its kernel serves. */
const echo = (port: number): string[] => [
  '-e',
  `require('node:net').createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(${port}, '::', () => console.log('{}'))`,
]

test('an operator reaches the kernel of a device by a grant, and no longer than that: the stream ends within a second', async (t) => {
  const bed = await TunBed.open(t, { config })
  const pump = await bed.device(bed.pump, 'pump')
  await interfaceUp(bed.pump, pump)
  await started(t, [...bed.pump.prefix, process.execPath, ...echo(2_323)])
  const ann = await bed.fleet.operator('ann')
  await bed.fleet.grant('ann', 'pump', 2_323)
  const words = ['forward', 'pump', '-L', '127.0.0.1:0:2323', '--path', 'relay', '--json']
  const forward = Program.start('adit', words, { env: ann.env, prefix: ann.prefix })
  t.after(() => forward.stop())
  const { listen } = await forward.event(({ event }) => event === 'listening', 60_000)
  const talk = await started(t, [...bed.hub.prefix, process.execPath, ...talker(Number(String(listen).split(':').at(-1)))])
  await talk.event(({ bytes }) => Number(bytes) > 10_000_000, 60_000)
  await bed.fleet.admin('grant', 'revoke', '1')
  const from = performance.now()
  await talk.event(({ event }) => event === 'closed', 10_000)
  const afterMs = performance.now() - from
  t.diagnostic(`closed ${afterMs | 0} ms after the grant was taken back`)
  assert.ok(afterMs < 1_000)
})

test("a stolen broker opens nothing at the kernel of a device that has pinned the fleet's key, and answers it", async (t) => {
  const bed = await TunBed.open(t, { config })
  const ada = await bed.fleet.operator('ada', '--admin')
  const { key } = JSON.parse(await ada.must(['fleet', 'init', '--json']))
  await bed.fleet.admin('fleet', 'pin', key)
  const pump = await bed.device(bed.pump, 'pump')
  await interfaceUp(bed.pump, pump)
  const broker = await bed.inner()
  await started(t, [...bed.pump.prefix, process.execPath, ...echo(2_323)])
  for (const address of [pump.v4, pump.v6]) assert.notEqual((await reach(bed.hub, address, 2_323)).met, 'connected')
  // What the device begins is answered.
  for (const address of [broker.v4, broker.v6]) assert.equal((await reach(bed.pump, address, 8_443)).met, 'connected')
  assert.equal(await bed.hub.pings(pump.v6), 1)

  const ann = await bed.fleet.operator('ann')
  await bed.fleet.grant('ann', 'pump', 2_323)
  await ada.must(['fleet', 'sign', '--yes'])
  await seen(
    () => pump.device.status<{ fleet: { grants: number } }>(),
    ({ fleet }) => fleet.grants === 1,
    { timeoutMs: 30_000, otherwise: ({ fleet }) => JSON.stringify(fleet) },
  )
  const forward = Program.start('adit', ['forward', 'pump', '-L', '127.0.0.1:0:2323', '--json'], {
    env: ann.env,
    prefix: ann.prefix,
  })
  t.after(() => forward.stop())
  const { listen } = await forward.event(({ event }) => event === 'listening', 60_000)
  const talk = await started(t, [...bed.hub.prefix, process.execPath, ...talker(Number(String(listen).split(':').at(-1)))])
  await talk.event(({ bytes }) => Number(bytes) > 1_000_000, 60_000)
  assert.notEqual((await reach(bed.hub, pump.v4, 2_323)).met, 'connected')
})

/** Sends and hears at a port of this host as fast as it goes; says each second, and at the end, what came back. */
const talker = (port: number): string[] => [
  '-e',
  `let bytes = 0; const piece = Buffer.alloc(65536, 7)
const say = (more) => console.log(JSON.stringify({ bytes, ...more }))
const socket = require('node:net').connect(${port}, '127.0.0.1', () => { const send = () => { while (socket.write(piece)); }; socket.on('drain', send); send() })
socket.on('data', (data) => { bytes += data.length }).on('error', () => {}).on('close', () => { say({ event: 'closed' }); process.exit() })
setInterval(say, 200)`,
]

/** A command that has said its first line. */
async function started(t: TestContext, [command, ...words]: readonly string[]): Promise<Program> {
  const program = Program.command(command!, words)
  t.after(() => program.stop())
  await program.event(() => true)
  return program
}
