import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fleet } from '#test/lab/fleet.ts'
import { type Finished, Program, runCommand } from '#test/lab/program.ts'

/** `adit forward DEVICE -D`: curl judges. */

const patienceMs = 60_000

async function page(t: TestContext, text: string): Promise<number> {
  const server = createServer((_, response) => response.end(text)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

const hasCurl = (await runCommand('curl', ['--version']).catch(() => ({ status: 1 }))).status === 0

test('D14 a SOCKS proxy leads to the ports of the device that a grant opens, and nowhere else', { skip: !hasCurl }, async (t) => {
  const fleet = await Fleet.start(t)
  const [open, closed] = [await page(t, 'the gauge'), await page(t, 'the vault')]
  await fleet.device('pump', { services: [`gauge:8080=127.0.0.1:${open}`, `vault:8081=127.0.0.1:${closed}`], tags: ['lab'] })
  const ann = await fleet.operator('ann')
  await fleet.admin('grant', 'add', '--operator', 'ann', '--tag', 'lab', '--port', '8080', '--port', '9090')
  const forward = Program.start('adit', ['forward', 'pump', '-D', '0', '--json'], { env: ann.env })
  t.after(() => forward.stop())
  const { listen, socks } = await forward.event(({ event }) => event === 'listening', patienceMs)
  assert.equal(socks, 5)
  const curl = (url: string): Promise<Finished> =>
    runCommand('curl', ['-sS', '--max-time', '20', '--socks5-hostname', String(listen), url], {
      env: { no_proxy: '', NO_PROXY: '' },
    })
  const [device] = JSON.parse(await ann.must(['devices', '--json'])) as { addresses: string[] }[]
  const address = device!.addresses.find((text) => text.includes(':'))
  for (const host of ['pump', 'pump.adit', 'localhost', '127.0.0.1', `[${address}]`]) {
    const { status, stdout, stderr } = await curl(`http://${host}:8080/`)
    assert.deepEqual([status, stdout], [0, 'the gauge'], `${host}: ${stderr}`)
  }
  // RFC 1928 §6: 2 not allowed, 5 refused. curl ends with 97 and says which.
  for (const [url, reply] of [
    ['http://pump:8081/', 2],
    ['http://192.168.1.1:8080/', 2],
    ['http://pump.example.com:8080/', 2],
    ['http://pump:9090/', 5],
  ] as const) {
    const { status, stderr } = await curl(url)
    assert.equal(status, 97, `${url}: ${stderr}`)
    assert.match(stderr, new RegExp(`\\(${reply}\\)`), url)
  }
  await wait(300)
  const told = forward.stderr
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { error: string }).error)
  assert.deepEqual(told, ['forbidden', 'forbidden', 'forbidden', 'service-refused'])
  const both = await ann.run(['forward', 'pump', '-R', '1:2', '--json'])
  assert.match(both.stderr, /"error":"forbidden".*relays from operators to devices only/)
})
