/**
 * Agents in a process of its own, to be run inside a namespace: each asks the broker's inner address for an echo every 100 ms and says when
 * it was answered. Argument: a file of JSON, {"inner":[…],"agents":[{"privateKey":hex,"config":wg-quick file},…]}.
 */
import { readFileSync } from 'node:fs'
import { fromHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { DeviceClient } from '#test/broker/device-client.ts'
import { values } from '#test/lab/wireguard-go.ts'

export interface ProberTask {
  inner: string[]
  agents: { privateKey: string; config: string }[]
}

const everyMs = 100
const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`)
const task = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as ProberTask

const agents = await Promise.all(
  task.agents.map(({ privateKey, config }, i) => {
    return DeviceClient.start({
      name: `probe-${i}`,
      tunnelKey: nativeSuite.x25519.pair(fromHex(privateKey)),
      bind: '0.0.0.0',
      addresses: values(config, 'Address').map((address) => address.split('/')[0]!),
      broker: {
        tunnelKey: Buffer.from(values(config, 'PublicKey')[0]!, 'base64'),
        endpoint: values(config, 'Endpoint')[0]!,
        inner: task.inner,
        routes: values(config, 'AllowedIPs'),
      },
    })
  }),
)
await Promise.all(agents.map((agent) => agent.up()))
say({ event: 'all-up' })

setInterval(() => {
  for (const [agent, { core }] of agents.entries()) {
    const target = core.config!.broker.inner[0]!
    void core.netstack.ping(target, { timeoutMs: 1_000 }).then((rtt) => {
      if (rtt !== undefined) say({ event: 'answer', agent, at: Date.now(), handshakes: core.association?.counters.handshakes })
    })
  }
}, everyMs)
