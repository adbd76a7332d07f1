import { join } from 'node:path'
import { Fleet } from '#test/lab/fleet.ts'
import { Strongswan } from '#test/lab/strongswan.ts'
import { config, lacksBundle } from './adit.ts'
import type { RelayContender } from './contender.ts'
import { lacksStrongswan } from './strongswan.ts'

const [subnetA, subnetB] = ['192.168.81.0/24', '192.168.82.0/24']
const [innerA, innerB] = ['192.168.81.1', '192.168.82.1']

/**
 * Our broker between two sites of strongSwan: the hop's cost without our agents at the ends. No TUN at the broker. What it carries is bound by
 * the ends, so that the processor time of the hop is the figure to look at.
 */
export const aditRelayIpsec: RelayContender = {
  name: 'adit-relay-ipsec',
  lacks: () => lacksBundle() ?? lacksStrongswan(),
  async start({ a, b, hop }, t) {
    const places = { listen: '0.0.0.0:4500', api: '0.0.0.0:8443' }
    const fleet = await Fleet.start(t, { ...places, prefix: hop.host.prefix, config, bundle: true })
    const site = async (name: string, subnet: string, inner: string, host: typeof a, broker: string): Promise<Strongswan> => {
      const out = join(fleet.folder, name)
      const words = ['--subnet', subnet, '--esp', 'aes256gcm16-x25519-noesn', '--endpoint', `${broker}:4500`, '--out', out]
      await fleet.admin('device', 'add', '--ipsec', '--name', name, ...words)
      host.addAddress(`${inner}/32`, 'lo')
      t.after(() => host.ip(`addr del ${inner}/32 dev lo`))
      const swan = await Strongswan.start(t, { host })
      await swan.load(out)
      const { status, stdout, stderr } = await swan.initiate('adit')
      if (status !== 0) throw new Error(`${name} did not connect: ${stdout}${stderr}`)
      return swan
    }
    const endA = await site('east', subnetA, innerA, a, hop.towardsA)
    const endB = await site('west', subnetB, innerB, b, hop.towardsB)
    await fleet.admin('grant', 'add', '--from', 'east', '--to', 'west', '--port', 'any')
    const processes = { a: [endA.pid], hop: [fleet.broker.pid], b: [endB.pid] }
    return { innerA, innerB, deviceA: 'ipsec0', deviceB: 'ipsec0', processes }
  },
}
