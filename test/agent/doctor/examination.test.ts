import assert from 'node:assert/strict'
import test from 'node:test'
import { examine, type Probes } from '#agent/doctor/examination.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'

const nobody = async (): Promise<undefined> => undefined

/** Probes that note whom they are sent to, and see nothing. */
function probes(asked: string[]): Probes {
  return {
    resolve: async () => ({ outcome: 'answered', tookMs: 1, addresses: ['2001:db8:9::1', '203.0.113.9'] }),
    nat64: async () => ({ how: 'discovered', prefixes: [parseCidr('2001:db8:64::/96')] }),
    udp: async (endpoint) => {
      asked.push(endpoint.address)
      return { endpoint, sent: 1, answered: 1, refused: false, unreachable: false, sizes: [] }
    },
    door: async ({ host, endpoint }) => {
      asked.push(endpoint.address)
      return { host, endpoint, reached: 'silent' }
    },
    plainHttp: async (_host, endpoint) => ({ endpoint, reached: 'silent' }),
    service: async () => 'open',
    ...{ proxy: nobody, interfaces: nobody, routes: nobody, clock: nobody, certificate: nobody },
    ...{ admission: nobody, agent: nobody, nat: nobody, disk: nobody },
  }
}

test('in a network without IPv4 everything is asked by what its NAT64 gives, and by IPv6 as it is', async () => {
  const asked: string[] = []
  const subject = {
    api: ['https://198.51.100.2:8443'],
    endpoints: ['198.51.100.2:4500', 'broker.example:4500'],
    ...{ streams: [], stun: [], services: [], known: () => ['198.51.100.2'] },
  }
  const facts = await examine(subject, probes(asked))
  assert.deepEqual(facts.nat64, { how: 'discovered', prefixes: ['2001:db8:64::/96'] })
  assert.deepEqual([...new Set(asked)].sort(), ['2001:db8:64::c633:6402', '2001:db8:64::cb00:7109', '2001:db8:9::1'])
  assert.deepEqual(facts.names?.[0]?.known, ['2001:db8:64::c633:6402'], 'names are told of in the same words')
})
