import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import { agentAuthorities, rootsIn } from '#broker/api/agent-authorities.ts'
import { agentEndpoints } from '#broker/api/agent-endpoints.ts'
import { agentStreams } from '#broker/api/agent-streams.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { dataModes } from '#shared/nat/data-budget.ts'

const configDocument = z.object({
  name: z.string(),
  role: z.enum(['device', 'operator']),
  id: z.string(),
  fleet: z.object({
    prefix: z.string(),
    keys: z.array(z.string()).describe('Ed25519 public keys, base64, whose statements count where the agent has pinned none'),
    roots: z.array(z.string()).describe('SHA-256 of the roots that are trusted now, hex'),
  }),
  broker: z.object({
    tunnelKey: z.string().describe('X25519 public key, base64'),
    endpoints: z.array(z.string()).describe('outer UDP host:port, in the order to try'),
    incarnation: z.string().describe('which life of its data folder it is: a restore begins another'),
    inner: z.array(z.string()).describe("the broker's addresses inside the tunnel"),
    mqttPort: z.number().int(),
    streams: z.array(z.string()).describe('wss: URLs that take datagrams where UDP is blocked, in the order to try'),
    stun: z.array(z.string()).optional().describe('host:port of further STUN servers, for RFC 5780'),
    ike: z
      .object({ id: z.string().describe('as which it proves itself: a host name, an address, or CN=…') })
      .optional()
      .describe('where it speaks IKEv2: it proves itself by a certificate under the root of the enrolment'),
  }),
  inner: z.object({ addresses: z.array(z.string()), mtu: z.number().int() }),
  keepaliveSeconds: z.number().int(),
  data: z
    .object({
      mode: z.enum(dataModes),
      monthlyMegabytes: z.number().optional().describe('10^6 bytes at the interface in 30 days, of an idle tunnel'),
      pollMinutes: z.number().int().optional().describe('on demand: between two polls'),
      exceeded: z.enum(['stay', 'on-demand']).optional().describe('where network and budget cannot both be had'),
    })
    .describe('what the tunnel may cost; the device tells its pace, and is told of changes'),
  time: z.number().describe("the broker's wall clock, ms since 1970"),
  certificate: z.object({
    notAfter: z.number().describe('ms since 1970'),
    renewWithinSeconds: z
      .number()
      .int()
      .optional()
      .describe('it is by a CA that issues no more: renew at a moment of your choice within so long'),
  }),
  routes: z.array(z.string()).describe('inner prefixes that lie behind the broker'),
})

const timestampDocument = z.object({ timestamp: z.string().nullable().describe('TAI64N, 12 bytes in hex') })

/** What an agent needs to open its tunnel, over mutual TLS (EST answers carry certificates alone). */
export function agentRoutes(
  app: ApiServer,
  { authority, gateway, registry, settings, clock, statements, suite }: ApiParts,
): void {
  app.get(
    '/v1/agent/config',
    {
      config: { access: 'agent' },
      schema: { summary: "The tunnel's parameters", tags: ['agents'], response: { 200: configDocument } },
    },
    async (request) => {
      const { principal, peer } = callerOf(request)
      const met = request.headers['adit-met']
      void registry.incarnation.hear(String(met ?? ''), `${principal.kind}:${principal.name}`, clock.wall()).catch(() => {})
      const agents = [...registry.directory.all()].length
      const { roots, ...renewal } = agentAuthorities(peer, { authority, suite, agents })
      const trusted = rootsIn(request.headers)
      if (trusted !== undefined) await registry.authorities.saw(principal.id, trusted)
      return {
        name: principal.name,
        role: principal.kind === 'operator' ? ('operator' as const) : ('device' as const),
        id: principal.publicId,
        fleet: {
          prefix: registry.fleet.prefix,
          keys: statements.keys.map((key) => Buffer.from(key).toString('base64')),
          roots,
        },
        broker: {
          tunnelKey: Buffer.from(authority.tunnelKey.publicKey).toString('base64'),
          endpoints: agentEndpoints(settings.publicEndpoints, gateway.listen, {
            host: request.host,
            localAddress: request.raw.socket.localAddress,
          }),
          incarnation: registry.incarnation.text,
          inner: [...gateway.inner],
          mqttPort: settings.mqttPort,
          streams: agentStreams(settings.streams, request.host),
          ...(gateway.stunEndpoints.length > 0 && { stun: [...gateway.stunEndpoints] }),
          ...(settings.ipsec && { ike: { id: authority.ike.id } }),
        },
        inner: { addresses: [...principal.addresses], mtu: settings.innerMtu },
        keepaliveSeconds: settings.keepaliveSeconds,
        data: principal.data ?? { mode: 'normal' as const },
        time: clock.wall(),
        certificate: { notAfter: peer.notAfter, ...renewal },
        routes: [...registry.fleet.routes],
      }
    },
  )

  app.get(
    '/v1/agent/timestamp',
    {
      config: { access: 'agent' },
      schema: {
        summary: "The last handshake timestamp that was taken from the caller's tunnel key (DESIGN D5)",
        tags: ['agents'],
        response: { 200: timestampDocument },
      },
    },
    (request) => {
      const { tunnelKey } = callerOf(request).principal
      const taken = tunnelKey === undefined ? undefined : gateway.lastTimestamp(tunnelKey)
      return { timestamp: taken === undefined ? null : Buffer.from(taken).toString('hex') }
    },
  )
}
