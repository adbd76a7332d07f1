/** A broker in a process of its own, to be killed: prints one line of JSON when it is ready. Argument: its data folder. */
import { startBroker } from '#broker/broker.ts'
import { Authority } from '#broker/identity/authority.ts'
import { Registry } from '#broker/registry/registry.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import { createLog } from '#shared/platform/log.ts'

const folder = process.argv[2]!
const port = Number(process.argv[3] ?? 0)
const ports = { clock: systemClock, suite: nativeSuite, log: createLog('warn', 'broker-child') }
await lockFolder(folder, 'broker')
const registry = await Registry.open(folder, ports)
const authority = await Authority.openOrCreate(folder, ports)
const broker = await startBroker(
  {
    udp: { address: '127.0.0.1', port },
    api: '127.0.0.1:0',
    publicEndpoints: [],
    mqttPort: 1883,
    keepaliveSeconds: 25,
    innerMtu: 1280,
    version: 'test',
  },
  { ...ports, registry, authority },
)
const { fleet } = registry
const ready = {
  listen: broker.ready.listen,
  tunnelKey: toHex(authority.tunnelKey.publicKey),
  inner: fleet.broker,
  routes: fleet.routes,
}
process.stdout.write(`${JSON.stringify(ready)}\n`)

// The parent asks by lines, so that a bench can read this process alone.
process.stdin.setEncoding('utf8').on('data', (text: string) => {
  if (text.startsWith('stop'))
    void broker
      .close()
      .then(() => registry.close())
      .then(() => process.exit(0))
  else process.stdout.write(`${JSON.stringify({ memory: measured(), cpu: process.cpuUsage(), status: broker.status() })}\n`)
})
process.stdin.on('end', () => process.exit(0))

function measured(): NodeJS.MemoryUsage {
  globalThis.gc?.()
  return process.memoryUsage()
}
