import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { type AgentConfig, parseAgentConfig } from '#agent/core/agent-config.ts'
import type { IdentityKey } from '#shared/crypto/identity-signer.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { makePrivateDirectory, readIfPresent, readSecret, removeDurably, writeDurably } from '#shared/platform/files.ts'
import { shellWord } from '#shared/terminal/shell-word.ts'
import type { Endpoint, SuiteName } from '#shared/tunnel/association.ts'
import { boardToken } from './board-key.ts'
import { identityKeyFromPem, identityKeyToPem } from './identity-key.ts'
import { boardsKey, keyIsFile } from './token-faults.ts'
import { isSameKey, movedTo, type TokenPlace, tokenPlaceIn } from './token-place.ts'
import { readEitherCopy, writeBothCopies } from './two-copies.ts'
import { chainUnder, isWholeChain } from './whole-chain.ts'

/** Names inside the state folder of an agent of either role. */
export const stateFiles = {
  identityKey: 'identity.key',
  /** In place of it, where the key is in hardware: which token and key. */
  identityToken: 'identity-token.json',
  tunnelKey: 'tunnel.key',
  /** PEM: the leaf, then its issuers. */
  certificate: 'certificate.pem',
  /** PEM: the roots that are trusted, the present one first: the one that the claim pinned, or who followed it. */
  root: 'ca.pem',
  agent: 'agent.json',
  floor: 'floor',
  outbox: 'outbox.db',
  socket: 'agent.sock',
  config: 'config.toml',
  /** The claim of an enrolment that waits for a person. */
  claim: 'claim',
  /** The administrator's public key, where one is pinned: base64. */
  fleetKey: 'fleet.key',
  /** What it has signed, as far as it concerns this agent. */
  statements: 'statements.json',
  /** What is shared with the broker against copies of this folder. */
  ratchet: 'ratchet',
  /** Keys and certificate that are to take the place of those in use. */
  nextIdentity: 'next-identity.json',
  /** Which keepalive interval which network bears. */
  networks: 'networks.json',
} as const

/** P-256 and X25519; made by the agent itself, and never leaving the folder, or the token. */
export interface AgentKeys {
  readonly identity: IdentityKey
  readonly tunnel: KeyPair
  /** The identity key as PKCS#8 PEM, as TLS wants it; undefined: it is in hardware. */
  readonly identityPem: string | undefined
}

export interface Certificates {
  /** PEM, leaf first. */
  readonly chain: string
  /** PEM. */
  readonly root: string
}

/** What is remembered besides keys: enough for a cold start without API and DNS. */
export interface AgentRecord {
  /** The API's URLs, in the order to try. */
  readonly api: readonly string[]
  readonly name: string
  readonly role: 'device' | 'operator' | 'station'
  /** The protocols of an operator's tunnel, as chosen at login; a device's are in its configuration. */
  readonly suite?: SuiteName
  /** The proxy that was named at enrolment; it may hold a password, as this folder holds secrets. */
  readonly proxy?: string
  readonly config?: AgentConfig
  /** Lives of the broker's data folder that were met, the latest first: two at a time are told of (`agent/core/met-brokers.ts`). */
  readonly met?: readonly string[]
  /** The broker's outer endpoint that answered last. */
  readonly lastEndpoint?: Endpoint
  /** Addresses that each host name had when it last resolved, or by the claim (F-08). */
  readonly addresses?: Readonly<Record<string, readonly string[]>>
  /** Those of them from which the broker itself has answered, the newest first. */
  readonly proven?: Readonly<Record<string, readonly string[]>>
  /** Prefixes of the NAT64 that led to the broker last. */
  readonly nat64?: readonly string[]
}

/**
 * The folder of one agent: 0700, its secrets 0600, every change durable before it is relied upon. What an agent cannot do without is
 * there twice (`NAME.bak`): flash controllers spoil files that nobody was writing (F-03).
 */
export class StateFolder {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** Makes the folder where it is missing; refuses one that others can reach (P-32). */
  static async open(path: string): Promise<StateFolder> {
    const absolute = isAbsolute(path) ? path : resolve(path)
    await makePrivateDirectory(absolute)
    return new StateFolder(absolute)
  }

  file(name: (typeof stateFiles)[keyof typeof stateFiles]): string {
    return join(this.path, name)
  }

  /**
   * The keys, or undefined where none were made yet. `place`: where the token of a key in hardware is by now. Throws `permission-unsafe`
   * where others can read them, `key-token-missing` or `key-token-refused` where the token is not to be had.
   */
  async keys(suite: Suite, place?: TokenPlace): Promise<AgentKeys | undefined> {
    const identity = await this.#identityKey(suite, place)
    const tunnel = await readEitherCopy(this.file('tunnel.key'), readSecret, (bytes) => {
      const privateKey = new Uint8Array(Buffer.from(text(bytes).trim(), 'base64'))
      if (privateKey.length !== 32) throw damaged(this.file('tunnel.key'))
      return suite.x25519.pair(privateKey)
    })
    return identity && tunnel && { ...identity, tunnel }
  }

  /** Where the identity key is in hardware; undefined where it is in a file, or not yet. */
  tokenPlace(): Promise<TokenPlace | undefined> {
    return readEitherCopy(this.file('identity-token.json'), readIfPresent, (bytes) => {
      try {
        return tokenPlaceIn(bytes)
      } catch (cause) {
        throw damaged(this.file('identity-token.json'), cause)
      }
    })
  }

  async #identityKey(suite: Suite, place?: TokenPlace): Promise<Pick<AgentKeys, 'identity' | 'identityPem'> | undefined> {
    const token = await this.tokenPlace()
    if (token) {
      const { openTokenKey } = await import('./key-token.ts')
      return { identity: await openTokenKey(place === undefined ? token : movedTo(place, token), suite), identityPem: undefined }
    }
    const path = this.file('identity.key')
    return readEitherCopy(path, readSecret, (bytes) => {
      const pem = text(bytes)
      return { identity: identityKeyFromPem(pem, path, suite), identityPem: pem }
    })
  }

  /**
   * The keys that are there, or new ones, which are on disk when this resolves: a repeated enrolment is then the same enrolment.
   * `place`: the identity key is made in this token. Throws as `keys`, and `key-token-refused` where it is in a file already, or the token's
   * key of that label is the board's own.
   */
  async makeKeys(suite: Suite, place?: TokenPlace): Promise<AgentKeys> {
    const board = place && (await boardToken(this.path))
    if (place && board && isSameKey(place, board)) throw boardsKey(place)
    const existing = await this.keys(suite, place)
    if (place && existing?.identityPem !== undefined) throw keyIsFile(this.path)
    if (existing) return existing
    const tunnel = suite.x25519.generate()
    await writeBothCopies(this.file('tunnel.key'), `${Buffer.from(tunnel.privateKey).toString('base64')}\n`)
    return { ...(await this.#makeIdentity(suite, place)), tunnel }
  }

  /** The identity key of a token takes the place of one that is there. */
  async putToken(place: TokenPlace): Promise<void> {
    await writeBothCopies(this.file('identity-token.json'), `${JSON.stringify(place)}\n`)
  }

  async #makeIdentity(suite: Suite, place?: TokenPlace): Promise<Pick<AgentKeys, 'identity' | 'identityPem'>> {
    if (place) {
      const { makeTokenKey } = await import('./key-token.ts')
      const identity = await makeTokenKey(place, suite)
      await this.putToken(place)
      return { identity, identityPem: undefined }
    }
    const identity = suite.ecdsaP256.generate()
    const identityPem = identityKeyToPem(identity)
    await writeBothCopies(this.file('identity.key'), identityPem)
    return { identity, identityPem }
  }

  /** Keys that were made elsewhere, in place of any that are there. */
  async putKeys({ identityPem, tunnelKey }: { identityPem: string; tunnelKey: Uint8Array }): Promise<void> {
    await writeBothCopies(this.file('tunnel.key'), `${Buffer.from(tunnelKey).toString('base64')}\n`)
    await writeBothCopies(this.file('identity.key'), identityPem)
  }

  async certificates(): Promise<Certificates | undefined> {
    const root = await readEitherCopy(this.file('ca.pem'), readIfPresent, (bytes) => whole(text(bytes), 'ca.pem', isWholeChain))
    if (root === undefined) return undefined
    const chain = await readEitherCopy(this.file('certificate.pem'), readIfPresent, (bytes) =>
      whole(text(bytes), 'certificate.pem', (pem) => isWholeChain(pem, root)),
    )
    return chain === undefined ? undefined : { chain, root }
  }

  /** The root first: a certificate in the folder means that enrolment is complete. */
  async saveCertificates({ chain, root }: Certificates): Promise<void> {
    await writeBothCopies(this.file('ca.pem'), root)
    await writeBothCopies(this.file('certificate.pem'), chainUnder(chain, root))
  }

  record(): Promise<AgentRecord | undefined> {
    return readEitherCopy(this.file('agent.json'), readIfPresent, (bytes) => {
      try {
        const record = JSON.parse(text(bytes)) as AgentRecord
        if (!Array.isArray(record.api) || typeof record.name !== 'string') throw new TypeError('no agent record')
        return record.config === undefined ? record : { ...record, config: parseAgentConfig(record.config) }
      } catch (cause) {
        throw damaged(this.file('agent.json'), cause)
      }
    })
  }

  /** The claim token of an enrolment that waits for a person; undefined: none waits. */
  async keptClaim(): Promise<string | undefined> {
    const bytes = await readSecret(this.file('claim'))
    return bytes && text(bytes).trim()
  }

  /** For the next start; `undefined`: the enrolment is over. */
  async keepClaim(token: string | undefined): Promise<void> {
    if (token === undefined) await removeDurably(this.file('claim'))
    else await writeDurably(this.file('claim'), `${token}\n`)
  }

  saveRecord(record: AgentRecord): Promise<void> {
    return writeBothCopies(this.file('agent.json'), `${JSON.stringify(record, null, 2)}\n`)
  }
}

/** `--state`, else ADIT_STATE, else where the system keeps such things: under /var/lib for root, else by XDG. */
export function stateFolderPath(
  flag: string | undefined,
  program: 'adit-agent' | 'adit' | 'adit-station',
  env = process.env,
): string {
  if (flag === '')
    throw new AditError('usage', '--state names no folder.', 'Name one, or leave --state out for the usual one: see --help.')
  if (flag !== undefined) return flag
  if (env.ADIT_STATE) return env.ADIT_STATE
  if (program === 'adit-agent' && process.geteuid?.() === 0) return '/var/lib/adit-agent'
  return join(env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), program)
}

/** Whether an agent was ever enrolled into that folder; looks only, and makes nothing. */
export const isEnrolledFolder = (path: string): boolean => existsSync(join(path, stateFiles.certificate))

export const notEnrolled = (path: string): AditError =>
  new AditError(
    'not-enrolled',
    `The state folder ${path} is not enrolled.`,
    `Enrol with a claim: adit-agent enrol --claim TOKEN --state ${shellWord(path)}`,
  )

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')

function whole(pem: string, path: string, isWhole: (pem: string) => boolean): string {
  if (!isWhole(pem)) throw damaged(path)
  return pem
}

const damaged = (path: string, cause?: unknown): AditError =>
  new AditError('storage-failed', `${path} is damaged.`, 'Restore it from a copy, or enrol again into an empty state folder.', {
    cause,
  })
