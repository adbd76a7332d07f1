import { z } from 'zod'
import type { Principal } from '#broker/registry/principal.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { CryptoError } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { dataModes } from '#shared/nat/data-budget.ts'
import { isoTime } from '../iso-time.ts'
import type { Office } from '../office.ts'
import { labels, milliseconds, nothing, type Operation, operation } from '../operation.ts'
import { document, tunnelDocument } from '../principal-document.ts'
import { wireguardConfig } from '../wireguard-config.ts'
import { addIpsecPeer } from './ipsec-peer.ts'

const named = z.strictObject({ name: z.string() })

const stockDevice = z.strictObject({
  name: z.string(),
  /** Public key, base64 as `wg pubkey` prints it. */
  wireguard: z.string(),
  tags: labels,
  /** Span in ms from now. */
  lasting: milliseconds.optional(),
})

const dataPlan = z.strictObject({
  name: z.string(),
  mode: z.enum(dataModes).optional(),
  /** 10^6 octets in 30 days; null: no budget any more. */
  monthlyMegabytes: z.number().min(0.01).max(1e9).nullable().optional(),
  pollMinutes: z.number().int().min(1).max(1440).optional(),
  exceeded: z.enum(['stay', 'on-demand']).optional(),
})

const tagging = z.strictObject({ name: z.string(), add: labels, remove: labels })

export const principalOperations: Record<string, Operation> = {
  'device.list': operation(nothing, ({ registry, clock }) =>
    registry.devices
      .list()
      .filter(({ revokedAt }) => revokedAt === undefined)
      .map((device) => document(device, clock.wall())),
  ),
  'device.show': operation(named, async (office, { name }) => {
    const device = office.registry.devices.get(name)
    const hostKeys = await office.registry.hostKeys.of(device.id)
    return {
      ...document(device, office.clock.wall()),
      tunnel: tunnelDocument(office.liveTunnel(device)),
      certificates: await certificatesOf(office, device),
      hostKeys,
    }
  }),
  'device.add': operation(stockDevice, async (office, { name, wireguard, tags, lasting }) => {
    const { registry, clock, actor } = office
    const { endpoints, extent } = await office.reach()
    const endpoint = endpoints[0]
    if (endpoint === undefined) {
      const message = 'It is not known where the broker will listen, since its port is 0 and none runs.'
      throw new AditError('broker-not-running', message, 'Start the broker first, or set public-endpoints in the configuration.')
    }
    const expiresAt = lasting === undefined ? {} : { expiresAt: clock.wall() + lasting }
    const peer = { name, tunnelKey: publicKeyHex(wireguard, office), tags, ...expiresAt }
    const device = await registry.devices.addWireguard(peer, actor)
    const { authority, config } = office
    const keepaliveSeconds = Math.round(config.keepalive / 1_000)
    const text = wireguardConfig({
      addresses: device.addresses,
      brokerKey: authority.tunnelKey.publicKey,
      routes: registry.fleet.routes,
      endpoint,
      mtu: config.innerMtu ?? 1_280,
      keepaliveSeconds,
    })
    return { ...document(device, clock.wall()), config: text, endpoint, extent: extent.endpoints }
  }),
  'device.add-ipsec': addIpsecPeer,
  'device.revoke': operation(named, async ({ registry, clock, actor }, { name }) =>
    document(await registry.devices.revoke(name, actor), clock.wall()),
  ),
  'device.tag': operation(tagging, async ({ registry, clock, actor }, { name, add, remove }) =>
    document(await registry.devices.tag(name, add, remove, actor), clock.wall()),
  ),
  'device.set': operation(dataPlan, async ({ registry, clock, actor }, { name, ...change }) => {
    const { data: before = { mode: 'normal' as const } } = registry.devices.get(name)
    const monthlyMegabytes =
      change.monthlyMegabytes === undefined ? before.monthlyMegabytes : (change.monthlyMegabytes ?? undefined)
    const plan = {
      mode: change.mode ?? before.mode,
      monthlyMegabytes,
      pollMinutes: change.pollMinutes ?? before.pollMinutes,
      exceeded: change.exceeded ?? before.exceeded,
    }
    return document(await registry.devices.setData(name, plan, actor), clock.wall())
  }),
  'device.accept-key': operation(
    z.strictObject({ name: z.string(), service: z.string().optional() }),
    async ({ registry, actor }, { name, service }) => {
      const device = registry.devices.get(name)
      const accepted = await registry.hostKeys.accept(device.id, service)
      const services = accepted.map((keys) => keys.service)
      const entry = {
        actor,
        action: 'host-key.accept',
        subject: `device:${device.name}`,
        detail: { services },
        deviceId: device.id,
      }
      await registry.audit.append(entry)
      return { name: device.name, hostKeys: accepted }
    },
  ),
  'operator.list': operation(nothing, ({ registry, clock }) =>
    registry.operators
      .list()
      .filter(({ revokedAt }) => revokedAt === undefined)
      .map((operator) => document(operator, clock.wall())),
  ),
  'operator.revoke': operation(named, async ({ registry, clock, actor }, { name }) =>
    document(await registry.operators.revoke(name, actor), clock.wall()),
  ),
}

const certificatesOf = async ({ registry }: Office, { id }: Principal): Promise<object[]> =>
  (await registry.certificates.list(id)).map((certificate) => ({
    serial: certificate.serialHex,
    issuer: certificate.issuerHex,
    notBefore: isoTime(certificate.notBefore),
    notAfter: isoTime(certificate.notAfter),
    revoked: isoTime(certificate.revokedAt),
  }))

/** 64 hex digits of a key in canonical base64; throws AditError `usage`. */
function publicKeyHex(text: string, { authority, suite }: Office): string {
  const bytes = Buffer.from(text, 'base64')
  const bad = (message: string): AditError => new AditError('usage', message, 'Give the 44 characters that `wg pubkey` prints.')
  if (bytes.length !== 32 || bytes.toString('base64') !== text) throw bad('That is no WireGuard public key.')
  if (equalPublic(bytes, authority.tunnelKey.publicKey)) throw bad("That is this broker's own public key, not the peer's.")
  try {
    suite.x25519.shared(authority.tunnelKey, bytes)
  } catch (error) {
    if (!(error instanceof CryptoError)) throw error
    throw bad('That is no WireGuard public key: no private key has it, and no handshake would ever succeed.')
  }
  return toHex(bytes)
}
