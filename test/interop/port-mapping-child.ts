/** A program with a UDP port for which it asks the gateways; says what it is given, and what comes in. SIGTERM: gives it back. */
import { PortMapper } from '#agent/io/port-mapping.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'

const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`)

const onDatagram = (datagram: Uint8Array): void => say({ event: 'heard', text: Buffer.from(datagram).toString() })
const socket = await UdpSocket.bind({ address: '0.0.0.0', port: 0, onDatagram })
const mapper: PortMapper = await PortMapper.open({
  ...{ suite: nativeSuite, clock: systemClock, timers: systemTimers, log: silentLog },
  internalPort: socket.local.port,
  onChange: () => setImmediate(() => say({ event: 'changed', external: mapper.external, reports: mapper.reports })),
})
await mapper.setPath('198.51.100.2')
process.once('SIGTERM', () => {
  void mapper
    .close()
    .then(() => socket.close())
    .then(() => say({ event: 'closed' }))
})
