import { splitHostPort } from '#agent/core/agent-config.ts'
import type { IkeIdentity } from '#agent/core/esp-hub.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Claim, type ClaimRole, decodeClaim } from '#shared/enrolment/claim.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import type { Log } from '#shared/platform/log.ts'
import { HttpsClient } from '#shared/platform/tls.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { BrokerApi, firstThatAnswers, type Requester } from './broker-api.ts'
import { addressesOf } from './endpoint-resolver.ts'
import { leafOf, requestCertificate } from './est.ts'
import { savePin } from './fleet-keeper.ts'
import { Floors, type FloorsRole } from './floors.ts'
import { type FindProxy, proxyFinder } from './outer-proxy.ts'
import type { AgentKeys, AgentRecord, Certificates, StateFolder } from './state-folder.ts'

export interface IdentityPorts {
  readonly suite: Suite
  readonly clock: Clock
  readonly log: Log
  /** `http://[USER:PASSWORD@]HOST:PORT` or `off`; undefined: what was said at enrolment, or the environment's. */
  readonly proxy?: string | undefined
}

/** Patience with the whole of a broker that does not answer, shared among its URLs. */
const PATIENCE_MS = 9_000
const LEAST_PATIENCE_MS = 3_000

/** Who an enrolled agent is: its keys and certificate, what it remembers of its broker, and the API under that certificate. */
export class Identity {
  readonly folder: StateFolder
  readonly keys: AgentKeys
  readonly record: AgentRecord
  readonly floors: Floors
  /** Through which proxy a place is reached. */
  readonly proxy: FindProxy
  readonly #suite: Suite
  readonly #proven = new Map<string, string>()
  #certificates: Certificates
  #https: HttpsClient | undefined

  private constructor(
    ports: IdentityPorts,
    parts: { folder: StateFolder; keys: AgentKeys; record: AgentRecord; certificates: Certificates; floors: Floors },
  ) {
    this.#suite = ports.suite
    this.proxy = proxyFinder(ports.proxy ?? parts.record.proxy)
    this.folder = parts.folder
    this.keys = parts.keys
    this.record = parts.record
    this.floors = parts.floors
    this.#certificates = parts.certificates
    this.floors.raiseTime(this.leaf.notBefore)
  }

  /** Undefined where this folder is not enrolled. `role`: whether this process holds the folder's lock. */
  static async load(folder: StateFolder, ports: IdentityPorts, role: FloorsRole = 'owner'): Promise<Identity | undefined> {
    const [keys, certificates, record] = [await folder.keys(ports.suite), await folder.certificates(), await folder.record()]
    if (!keys || !certificates || !record) return undefined
    const floors = await Floors.open(folder.file('floor'), ports.clock, ports.log, role)
    return new Identity(ports, { folder, keys, record, certificates, floors })
  }

  /** Name and life of the certificate in use, ms since 1970. */
  get leaf(): ReturnType<typeof leafOf> {
    return leafOf(this.#certificates.chain)
  }

  /** The root of the fleet, PEM. */
  get rootPem(): string {
    return this.#certificates.root
  }

  /** HTTPS with our certificate, to nobody but the holder of the CA that the claim pinned. */
  https(): HttpsClient {
    this.#https ??= new HttpsClient({
      suite: this.#suite,
      trust: { rootDer: this.root },
      proxy: this.proxy,
      time: () => this.floors.time.floor,
      identity: { key: this.keys.identityPem, chain: this.#certificates.chain },
      lastGoodAddresses: (host) => addressesOf(host, this.record),
      onProven: (host, address) => this.#proven.set(host, address),
    })
    return this.#https
  }

  /** Where each host of the API has proven itself last, since the start. */
  get provenAddresses(): ReadonlyMap<string, string> {
    return this.#proven
  }

  /** DER of the fleet's root, which the claim pinned. */
  get root(): Uint8Array {
    return decodePem('CERTIFICATE', this.#certificates.root)[0]!
  }

  api(): BrokerApi {
    return new BrokerApi(this.https(), this.record.api)
  }

  /** Who we are in the esp suite: the same certificate and key as towards the API. */
  ike(): IkeIdentity {
    const issued = decodePem('CERTIFICATE', this.#certificates.chain)
    const [root] = decodePem('CERTIFICATE', this.#certificates.root)
    return {
      chain: issued.filter((der) => !equalPublic(der, root!)),
      key: { kind: 'p256', pair: this.keys.identity },
      root: parseCertificate(root!),
    }
  }

  /** A new certificate for the same keys. The old one serves until the new one is on disk. */
  async renew(): Promise<void> {
    const request = { keys: this.keys, name: this.record.name }
    const chain = await eachUrl(this.record.api, this.https(), (server) => requestCertificate(server, request, this.#suite))
    await this.folder.saveCertificates({ ...this.#certificates, chain })
    this.#certificates = { ...this.#certificates, chain }
    this.#https?.close()
    this.#https = undefined
    this.floors.raiseTime(this.leaf.notBefore)
  }

  close(): void {
    this.#https?.close()
  }
}

export interface EnrolOptions extends IdentityPorts {
  readonly folder: StateFolder
  /** As it was typed. */
  readonly token: string
  readonly role: ClaimRole
  /** Remembered for the tunnel. */
  readonly speaks?: SuiteName
  /** What is being done, for a person who watches. */
  onProgress?(step: string): void
}

/**
 * Turns a claim into an identity. The keys are on disk before the request goes out, so that a power cut at any moment is mended by
 * doing the same again: the broker gives the same claim and key the same certificate.
 */
export async function enrol({ folder, token, role, speaks, onProgress = () => {}, ...ports }: EnrolOptions): Promise<Identity> {
  const { suite, proxy } = ports
  const claim = decodeClaim(token, suite)
  if (claim.role !== role) throw wrongRole(claim.role)
  if (await folder.certificates()) throw alreadyEnrolled(folder)
  onProgress('making keys')
  const keys = await folder.makeKeys(suite)
  const floors = await Floors.open(folder.file('floor'), ports.clock, ports.log)
  onProgress(`asking ${claim.api[0]}`)
  const { chain, root } = await redeem(claim, keys, floors, ports)
  const { name } = leafOf(chain)
  const addresses = claimedAddresses(claim)
  if (claim.fleetKey) await savePin(folder, claim.fleetKey)
  await folder.saveRecord({
    api: claim.api,
    name,
    role,
    ...(speaks && { suite: speaks }),
    ...(proxy && { proxy }),
    ...(addresses && { addresses }),
  })
  await folder.saveCertificates({ chain, root })
  onProgress(`enrolled as ${name}`)
  const identity = (await Identity.load(folder, ports))!
  await learnConfig(identity, onProgress)
  return (await Identity.load(folder, ports))!
}

async function redeem(claim: Claim, keys: AgentKeys, floors: Floors, { suite, proxy }: IdentityPorts): Promise<Certificates> {
  const addresses = claimedAddresses(claim) ?? {}
  const https = new HttpsClient({
    suite,
    trust: { rootFingerprint: claim.ca },
    time: () => floors.time.floor,
    lastGoodAddresses: (host) => addresses[host] ?? [],
    proxy: proxyFinder(proxy),
  })
  try {
    const request = { keys, name: claim.role, credentials: claim }
    const chain = await eachUrl(claim.api, https, (server) => requestCertificate(server, request, suite))
    return { chain, root: encodePem('CERTIFICATE', https.rootDer!) }
  } finally {
    https.close()
  }
}

/** The claim's literal addresses stand for each of its hosts that has a name: who is there, TLS shows (F-08). */
function claimedAddresses({ api, addresses }: Claim): Record<string, readonly string[]> | undefined {
  return addresses && Object.fromEntries(api.map((url) => [new URL(url).hostname, addresses]))
}

/** The certificate is what counts and is safe; a configuration that cannot be had now is fetched when the agent runs. */
async function learnConfig(identity: Identity, onProgress: (step: string) => void): Promise<void> {
  try {
    const config = await identity.api().config()
    identity.floors.raiseTime(config.time)
    const { record } = identity
    await identity.folder.saveRecord({
      ...record,
      name: config.name,
      config,
      ...tunnelAddresses(record, config.broker.endpoints),
    })
  } catch {
    onProgress('the configuration will be fetched at the first run')
  } finally {
    identity.close()
  }
}

/** The tunnel's hosts begin with what the API's have: mostly they are one machine, and DNS corrects it later. */
function tunnelAddresses({ addresses }: AgentRecord, endpoints: readonly string[]): Pick<AgentRecord, 'addresses'> {
  const known = Object.values(addresses ?? {})[0]
  if (addresses === undefined || known === undefined) return {}
  const hosts = endpoints.map((text) => splitHostPort(text)?.address ?? '').filter((host) => host !== '')
  return { addresses: { ...Object.fromEntries(hosts.map((host) => [host, known])), ...addresses } }
}

function eachUrl<T>(
  urls: readonly string[],
  https: Requester,
  ask: (server: { https: Requester; url: string; timeoutMs: number }) => Promise<T>,
): Promise<T> {
  const timeoutMs = Math.max(LEAST_PATIENCE_MS, PATIENCE_MS / urls.length)
  return firstThatAnswers(urls, (url) => ask({ https, url, timeoutMs }))
}

const wrongRole = (role: ClaimRole): AditError =>
  role === 'device'
    ? new AditError('claim-wrong-role', 'This claim is for a device.', 'On the device: adit-agent enrol --claim TOKEN')
    : new AditError('claim-wrong-role', 'This claim is for an operator.', 'On your own machine: adit login --claim TOKEN')

const alreadyEnrolled = (folder: StateFolder): AditError =>
  new AditError(
    'already-enrolled',
    `${folder.path} is enrolled already.`,
    'Choose another state folder, or empty this one first.',
  )
