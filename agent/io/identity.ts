import { X509Certificate } from 'node:crypto'
import type { AgentConfig } from '#agent/core/agent-config.ts'
import type { IkeIdentity } from '#agent/core/esp-hub.ts'
import { rootsToTrust } from '#agent/core/root-trust.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { decodeClaim } from '#shared/enrolment/claim.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import type { SigningKey } from '#shared/ikev2/signing-key.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { rootName } from '#shared/pki/root-succession.ts'
import type { Log } from '#shared/platform/log.ts'
import { Mutex } from '#shared/platform/mutex.ts'
import { HttpsClient, type HttpsClientOptions } from '#shared/platform/tls.ts'
import { type Clock, type WallTime, wallTime } from '#shared/time/instant.ts'
import { returnAsBoard } from './board-return.ts'
import { BrokerApi } from './broker-api.ts'
import { askTime } from './broker-time.ts'
import { redeem } from './claim-redemption.ts'
import { addressesOf } from './endpoint-resolver.ts'
import { type CertificateWish, eachUrl, leafOf, requestCertificate } from './est.ts'
import { Floors, type FloorsRole } from './floors.ts'
import { NextIdentity } from './next-identity.ts'
import { type FindProxy, proxyFinder } from './outer-proxy.ts'
import type { AgentKeys, AgentRecord, Certificates, StateFolder } from './state-folder.ts'
import type { TokenPlace } from './token-place.ts'
import { chainUnder } from './whole-chain.ts'

export interface IdentityPorts {
  readonly suite: Suite
  readonly clock: Clock
  readonly log: Log
  /** `http://[USER:PASSWORD@]HOST:PORT` or `off`; undefined: what was said at enrolment, or the environment's. */
  readonly proxy?: string | undefined
  /** Where the token of a key in hardware is; undefined: where it was at enrolment, or the key is in a file. */
  readonly pkcs11?: TokenPlace | undefined
  /** Whether each renewal makes a new identity key, where the present one is; left out: it stays the same. */
  readonly renewsKey?: boolean | undefined
}

/** Who an enrolled agent is: its keys and certificate, what it remembers of its broker, and the API under that certificate. */
export class Identity {
  readonly folder: StateFolder
  readonly record: AgentRecord
  readonly floors: Floors
  /** Through which proxy a place is reached. */
  readonly proxy: FindProxy
  readonly #ports: IdentityPorts
  readonly #suite: Suite
  readonly #proven = new Map<string, string>()
  /** A renewal and another root may come at one time: each builds on what the other has written. */
  readonly #turns = new Mutex()
  /** One at a time makes new keys: there is one place for those that are not in use yet. */
  readonly #keyTurns = new Mutex()
  #keys: AgentKeys
  #certificates: Certificates
  /** What was read of a chain. */
  #leaf: { readonly of: string; readonly facts: ReturnType<typeof leafOf> } | undefined
  #isOver = false
  #https: HttpsClient | undefined

  private constructor(
    ports: IdentityPorts,
    parts: { folder: StateFolder; keys: AgentKeys; record: AgentRecord; certificates: Certificates; floors: Floors },
  ) {
    this.#ports = ports
    this.#suite = ports.suite
    this.proxy = proxyFinder(ports.proxy ?? parts.record.proxy)
    this.folder = parts.folder
    this.#keys = parts.keys
    this.record = parts.record
    this.floors = parts.floors
    this.#certificates = parts.certificates
    this.floors.raiseTime(this.leaf.notBefore)
  }

  /** Undefined where this folder is not enrolled. `role`: whether this process holds the folder's lock. */
  static async load(folder: StateFolder, ports: IdentityPorts, role: FloorsRole = 'owner'): Promise<Identity | undefined> {
    if (role === 'owner') await new NextIdentity(folder, ports.suite, ports.pkcs11).finish()
    const [keys, certificates, record] = [
      await folder.keys(ports.suite, ports.pkcs11),
      await folder.certificates(),
      await folder.record(),
    ]
    if (!keys || !certificates || !record) return undefined
    checkToken(keys, certificates)
    const floors = await Floors.open(folder.file('floor'), ports.clock, ports.log, role)
    return new Identity(ports, { folder, keys, record, certificates, floors })
  }

  /** After a renewal the identity key may be another one; the tunnel key stays. */
  get keys(): AgentKeys {
    return this.#keys
  }

  /** Name and life of the certificate in use, ms since 1970. */
  get leaf(): ReturnType<typeof leafOf> {
    const { chain } = this.#certificates
    // Whoever looks at the status asks for it, each time.
    if (this.#leaf?.of !== chain) this.#leaf = { of: chain, facts: leafOf(chain) }
    return this.#leaf.facts
  }

  /** Whether the chain has more than our own certificate: what does not lead to a root that is trusted is not kept. */
  get hasIssuers(): boolean {
    return decodePem('CERTIFICATE', this.#certificates.chain).length > 1
  }

  /** Every root that is trusted, the first one first: PEM. */
  get rootPem(): string {
    return this.#certificates.root
  }

  /** HTTPS with our certificate, to nobody but the holder of the CA that the claim pinned. */
  https(): HttpsClient {
    this.#https ??= new HttpsClient({
      suite: this.#suite,
      trust: { roots: this.roots },
      proxy: this.proxy,
      time: () => this.floors.time.floor,
      ...this.#proof(),
      lastGoodAddresses: (host) => addressesOf(host, this.record),
      onProven: (host, address) => this.#proven.set(host, address),
    })
    return this.#https
  }

  /** TLS takes a key in a file; a token proves itself on the channel. */
  #proof(): Pick<HttpsClientOptions, 'identity' | 'channelIdentity'> {
    const { identity, identityPem } = this.keys
    const { chain } = this.#certificates
    if (identityPem !== undefined) return { identity: { key: identityPem, chain } }
    return { channelIdentity: { key: identity, chain: decodePem('CERTIFICATE', chain) } }
  }

  /** A token that does not sign now is a negotiation that fails, and is tried again. */
  #ikeKey(): SigningKey {
    const { identity } = this.keys
    if (!('sign' in identity)) return { kind: 'p256', pair: identity }
    const sign = (message: Uint8Array): Uint8Array | undefined => {
      try {
        return identity.sign(message)
      } catch (error) {
        const { code, message: why } = toAditError(error)
        this.#ports.log.error({ code }, why)
        return undefined
      }
    }
    return { kind: 'p256', signer: { sign } }
  }

  /** Where each host of the API has proven itself last, since the start. */
  get provenAddresses(): ReadonlyMap<string, string> {
    return this.#proven
  }

  /** DER of the fleet's root: the one that the claim pinned, or who followed it. */
  get root(): Uint8Array {
    return this.roots[0]!
  }

  /** All that are trusted: more than one only while another root follows. */
  get roots(): Uint8Array[] {
    return decodePem('CERTIFICATE', this.#certificates.root)
  }

  api(): BrokerApi {
    const names = this.roots.map((der) => rootName({ der }, this.#suite))
    return new BrokerApi(this.https(), this.record.api, names)
  }

  /** Who we are in the esp suite: the same certificate and key as towards the API. */
  ike(): IkeIdentity {
    const issued = decodePem('CERTIFICATE', this.#certificates.chain)
    const roots = this.roots.map((der) => parseCertificate(der))
    return {
      chain: issued.filter((der) => !roots.some((root) => equalPublic(der, root.der))),
      key: this.#ikeKey(),
      roots,
      fleet: fleetIdOf(roots[0]!, this.#suite),
    }
  }

  /**
   * Trusts the roots that the broker names as its own now, as far as what we trust has signed for them: durable when this resolves. True
   * where anything changed.
   */
  async followRoots({ fleet }: Pick<AgentConfig, 'fleet'>): Promise<boolean> {
    const names = this.roots.map((der) => rootName({ der }, this.#suite))
    if (fleet.roots === undefined || fleet.roots.join() === names.join()) return false
    const told = await this.api().rootSuccession()
    const now = this.#provenTime
    return this.#inTurn(async () => {
      const next = rootsToTrust(this.roots, told, now, this.#suite)
      if (next === undefined) return false
      const root = pemOf(next.map(({ der }) => der))
      const { chain, root: former } = this.#certificates
      // A power cut leaves a chain that is whole under the roots beside it: first both are trusted, then the former one goes.
      await this.folder.saveCertificates({ chain: chainUnder(chain, root), root: root + former })
      await this.#putCertificates({ chain, root })
      return true
    })
  }

  /**
   * Likewise, and drops none, since chains that we give to others lead to each of them: a station. The one that our own chain leads to comes
   * first. Durable when it resolves.
   */
  async gatherRoots(): Promise<void> {
    const told = await this.api().rootSuccession()
    const now = this.#provenTime
    await this.#inTurn(async () => {
      const next = (rootsToTrust(this.roots, told, now, this.#suite) ?? []).map(({ der }) => der)
      const all = [...this.roots, ...next.filter((der) => !this.roots.some((known) => equalPublic(der, known)))]
      const own = all.findIndex((root) => leadsTo(root, decodePem('CERTIFICATE', this.#certificates.chain)))
      const root = pemOf([...all.splice(Math.max(0, own), 1), ...all])
      if (root !== this.#certificates.root) await this.#putCertificates({ ...this.#certificates, root })
    })
  }

  /** What a proven server's chain says of the time may be all that a clock in 1970 knows. */
  get #provenTime(): WallTime {
    return wallTime(Math.max(this.floors.time.floor, this.https().provenTime ?? 0))
  }

  /** The folder becomes another identity's: nothing of ours may be written to it any more. */
  #handOver(change: () => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      await change()
      this.#isOver = true
    })
  }

  async #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const leave = await this.#turns.enter()
    try {
      if (this.#isOver) throw over()
      return await change()
    } finally {
      leave()
    }
  }

  async #putCertificates(certificates: Certificates): Promise<void> {
    await this.folder.saveCertificates(certificates)
    await this.#takeCertificates()
  }

  /** Those that are in the folder by now. */
  async #takeCertificates(): Promise<void> {
    this.#certificates = (await this.folder.certificates())!
    this.#https?.retire()
    this.#https = undefined
  }

  /** Sets our time by the broker's signed one (DESIGN D5), whatever has become of our clock and our certificate. Throws AditError or PkiError. */
  async learnTime(): Promise<void> {
    const time = await askTime({
      urls: this.record.api,
      roots: this.roots,
      floor: this.floors.time.floor,
      suite: this.#suite,
      https: this.https(),
      reach: { proxy: this.proxy, lastGoodAddresses: (host) => addressesOf(host, this.record) },
    })
    this.floors.tellTime(time)
  }

  /**
   * Certificates of keys that nobody else has, for the device that we are: `ticket` is what the ratchet gave. They are in the folder when
   * this resolves, and who loads it next is that identity; this object goes on being the old one.
   */
  async replaceKeys(ticket: string): Promise<void> {
    await this.#withNext(async (next) => {
      const chain = await this.#certify({ keys: await next.keys(), name: this.record.name, ticket })
      await this.#handOver(() => next.certified(chain))
    })
  }

  /** Likewise, as a device of its own: a copy that a person has granted a claim. */
  async becomeAnother(token: string): Promise<void> {
    await this.#withNext(async (next) => {
      const { chain } = await redeem(decodeClaim(token, this.#suite), await next.keys(), this.floors, this.#ports)
      await this.#handOver(() => next.certified(chain, leafOf(chain).name))
    })
  }

  /**
   * A new certificate, for the same keys or for a new identity key, as the ports say. The old one serves until the new one is on disk.
   * `ticket`: as for `replaceKeys`.
   */
  async renew(ticket?: string): Promise<void> {
    if (this.#ports.renewsKey && ticket === undefined && (await this.#renewKey())) return
    const chain = await this.#nextChain(ticket)
    await this.#inTurn(() => this.#putCertificates({ ...this.#certificates, chain }))
    this.floors.raiseTime(this.leaf.notBefore)
  }

  /** False where it is not ours to change now: only a living certificate may change its keys (DESIGN D4). */
  #renewKey(): Promise<boolean> {
    return this.floors.time.now() >= this.leaf.notAfter
      ? Promise.resolve(false)
      : this.#withNext((next) => this.#renewKeyBy(next))
  }

  async #renewKeyBy(next: NextIdentity): Promise<boolean> {
    const keys = await next.keys(this.keys.tunnel)
    const chain = await this.#certify({ keys, name: this.record.name }).catch((error) => {
      const { code, message } = toAditError(error)
      if (code !== 'certificate-refused' && code !== 'request-refused') throw error
      this.#ports.log.warn({ code, message }, 'the broker certifies no new key: the present one is renewed')
    })
    if (chain === undefined) return false
    await this.#inTurn(async () => {
      await next.certified(chain)
      this.#keys = keys
      await this.#takeCertificates()
    })
    this.floors.raiseTime(this.leaf.notBefore)
    return true
  }

  #certify(wish: CertificateWish): Promise<string> {
    return eachUrl(this.record.api, this.https(), (server) => requestCertificate(server, wish, this.#suite))
  }

  async #withNext<T>(change: (next: NextIdentity) => Promise<T>): Promise<T> {
    const leave = await this.#keyTurns.enter()
    try {
      if (this.#isOver) throw over()
      return await change(new NextIdentity(this.folder, this.#suite, this.#ports.pkcs11))
    } finally {
      leave()
    }
  }

  /** Where our certificate does not speak for us any more, the board's may (`board-return.ts`). */
  async #nextChain(ticket: string | undefined): Promise<string> {
    try {
      return await this.#certify({ keys: this.keys, name: this.record.name, ticket })
    } catch (refusal) {
      if (toAditError(refusal).code !== 'certificate-refused' || ticket !== undefined) throw refusal
      const { folder, keys, record, floors, roots, proxy } = this
      const board = { folder, keys, record, floors, roots, proxy, suite: this.#suite, notAfter: this.leaf.notAfter }
      const chain = await returnAsBoard(board).catch((error) => {
        const { code, message } = toAditError(error)
        this.#ports.log.info({ code, message }, 'nor does the IDevID of the board lead back')
      })
      if (chain === undefined) throw refusal
      return chain
    }
  }

  close(): void {
    this.#https?.close()
  }
}

/** Another token of the same label would be a broker's refusal otherwise. */
function checkToken({ identity, identityPem }: AgentKeys, { chain }: Certificates): void {
  if (identityPem !== undefined) return
  const [leaf] = decodePem('CERTIFICATE', chain)
  if (leaf !== undefined && equalPublic(parseCertificate(leaf).spki, p256Spki(identity.publicKey))) return
  const mend = 'Put in the token with which this device enrolled.'
  throw new AditError('key-token-refused', "The token's key is not the one of this device's certificate.", mend)
}

const over = (): AditError =>
  new AditError('internal', 'The state folder holds another identity by now.', 'Start the agent again: it takes that one up.')

const pemOf = (ders: readonly Uint8Array[]): string => ders.map((der) => encodePem('CERTIFICATE', der)).join('')

/** Whether the last of a chain that we have been given is by the key of that root: roots of one fleet are of one name. */
const leadsTo = (root: Uint8Array, chain: readonly Uint8Array[]): boolean => {
  const last = chain.at(-1)
  return last !== undefined && new X509Certificate(last).verify(new X509Certificate(root).publicKey)
}
