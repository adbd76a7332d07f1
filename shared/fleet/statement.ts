import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { CborError } from '#shared/telemetry/cbor.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { Algorithm, decodeSign1, Header, type Sign1, type Signing, signSign1, verifySign1 } from './cose-sign1.ts'
import { keyIdOf } from './key-fingerprint.ts'
import { decodeBody, encodeBody } from './statement-body.ts'

/**
 * Statements of the fleet key (DESIGN D6): what ends believe of one another, whoever carries it. Each is a COSE_Sign1 (RFC 9052 §4.2)
 * with Ed25519 (RFC 9053 §2.2) over deterministic CBOR.
 */
export type Statement =
  | PeerStatement
  | HostKeysStatement
  | GrantStatement
  | KeyStatement
  | WipeStatement
  | DelegationStatement
  | WithdrawalStatement

export type StatementKind = Statement['kind']

/** What every statement says of itself. */
export interface StatementScope {
  /** SHA-256 of the fleet's root certificate, 32 bytes: a key that serves two fleets makes no statement for both. */
  readonly fleet: Uint8Array
  /** Grows with every statement of the key: of two about one subject the higher holds, and a lower one than seen is refused. */
  readonly version: number
  readonly notBefore: WallTime
  /** It holds until before this moment. */
  readonly notAfter: WallTime
}

/** Who has an inner address and a tunnel key. */
export interface PeerStatement extends StatementScope {
  readonly kind: 'peer'
  /** Its identity in the registry: 32 hex digits, stable for life. */
  readonly id: string
  readonly name: string
  readonly role: 'device' | 'operator'
  /** X25519, 32 bytes; undefined: a stock IPsec peer. */
  readonly tunnelKey?: Uint8Array | undefined
  /** Inner addresses in their canonical text. */
  readonly addresses: readonly string[]
  readonly tags: readonly string[]
  /** Of an operator. */
  readonly groups: readonly string[]
}

/** The host keys of a service of a device. */
export interface HostKeysStatement extends StatementScope {
  readonly kind: 'host-keys'
  /** `id` of the device's peer statement. */
  readonly device: string
  /** `ssh`. */
  readonly service: string
  /** OpenSSH public key lines. */
  readonly keys: readonly string[]
}

/** Operators named or in a group may open these ports of devices named or with a tag. */
export interface GrantStatement extends StatementScope {
  readonly kind: 'grant'
  /** Its number in the registry, as text. */
  readonly id: string
  readonly operators: readonly string[]
  readonly groups: readonly string[]
  readonly devices: readonly string[]
  readonly tags: readonly string[]
  /** Ranges of TCP ports, both ends in them. */
  readonly ports: readonly { readonly from: number; readonly to: number }[]
}

/** Hands the fleet over to a new key, signed by the old one. */
export interface KeyStatement extends StatementScope {
  readonly kind: 'key'
  /** Ed25519, 32 bytes. */
  readonly key: Uint8Array
}

/** Orders a device to forget its fleet for good: keys, certificate, what it was told, what it has not sent. */
export interface WipeStatement extends StatementScope {
  readonly kind: 'wipe'
  /** The order's number: 32 hex digits. */
  readonly id: string
  /** Its name, for who signs: who is meant says `identity` alone. */
  readonly device: string
  /** SHA-256 of the SubjectPublicKeyInfo of its identity key, 32 bytes: a key that dies with the order, which so is never carried out twice. */
  readonly identity: Uint8Array
  /** SHA-256 of the claim (as text) by which it joins another fleet then, 32 bytes; undefined: it joins none. */
  readonly next?: Uint8Array | undefined
}

/** Lets a station vouch for the devices that it makes: what its key may say is in `station-scope.ts`. */
export interface DelegationStatement extends StatementScope {
  readonly kind: 'delegation'
  /** The station's identity in the registry: 32 hex digits, stable for life. */
  readonly id: string
  /** Its name. */
  readonly station: string
  /** Ed25519, 32 bytes: its statements are signed by this key. */
  readonly key: Uint8Array
  /** Names of its devices: a pattern with a counter, and the numbers that are this station's alone, both ends in them. */
  readonly names: string
  readonly first: number
  readonly last: number
  /** Its devices have these and no others. */
  readonly tags: readonly string[]
}

/** Ends what was said of a subject, whatever it was and whoever said it. */
export interface WithdrawalStatement extends StatementScope {
  readonly kind: 'withdrawal'
  readonly of: 'peer' | 'host-keys' | 'grant' | 'wipe' | 'delegation'
  /** The part of `subjectOf` behind the colon. */
  readonly subject: string
}

/** Longest statement that is read or made, bytes. */
export const STATEMENT_LIMIT = 16_384

/** Tells our signatures from any other that a key may have made. */
const externalAad = new TextEncoder().encode('adit statement 1')

export type StatementSigner = Signing

/** Throws AditError `statement-refused` where it would be too long, or what nobody could read. */
export function signStatement(statement: Statement, { suite, pair }: StatementSigner): Uint8Array {
  let signed: Uint8Array
  try {
    const body = encodeBody(statement)
    decodeBody(body)
    signed = signSign1(body, { suite, pair, keyId: keyIdOf(pair.publicKey, suite), externalAad })
  } catch (error) {
    if (error instanceof CborError) throw refused(`it cannot be said: ${error.message}`)
    throw error
  }
  if (signed.length > STATEMENT_LIMIT) throw refused(`it would have ${signed.length} bytes, at most ${STATEMENT_LIMIT} are taken`)
  return signed
}

/**
 * The statement in `bytes`, of this fleet, signed by one of `keys` (Ed25519, 32 bytes each) and in force at `time`, which is judged at
 * the time floor (DESIGN D5). Whether a newer one was seen is for `StatementLedger`. Throws AditError `statement-refused`.
 */
export function openStatement(
  bytes: Uint8Array,
  keys: readonly Uint8Array[],
  time: WallTime,
  { suite, fleet }: { suite: Pick<Suite, 'ed25519' | 'hash'>; fleet: Uint8Array },
): Statement {
  const statement = readSigned(bytes, keys, suite)
  if (!equalPublic(statement.fleet, fleet)) throw refused('it is for another fleet')
  if (time < statement.notBefore) throw refused(`it holds only from ${isoTime(statement.notBefore)} on`, clockMend)
  if (time >= statement.notAfter)
    throw refused(`it has expired at ${isoTime(statement.notAfter)}`, 'Have the administrator sign a new one: adit fleet sign.')
  return statement
}

/** What it says; nothing is verified. Undefined where it cannot be read. */
export function readStatement(bytes: Uint8Array): Statement | undefined {
  try {
    return decodeBody(decodeSign1(bytes, STATEMENT_LIMIT).payload)
  } catch (error) {
    if (error instanceof CborError) return undefined
    throw error
  }
}

/** Whether it says that it hands over to another key; nothing is verified. */
export const isKeyStatement = (bytes: Uint8Array): boolean => readStatement(bytes)?.kind === 'key'

/** What two statements share that speak of the same thing: `grant:5`, `peer:0123…`, `host-keys:0123…/ssh`, `key:0123…`,
 * `wipe:0123…`, `delegation:0123…`. */
export function subjectOf(statement: Statement): string {
  switch (statement.kind) {
    case 'peer':
    case 'grant':
    case 'wipe':
    case 'delegation':
      return `${statement.kind}:${statement.id}`
    case 'host-keys':
      return `host-keys:${statement.device}/${statement.service}`
    case 'withdrawal':
      return `${statement.of}:${statement.subject}`
    case 'key':
      return `key:${toHex(statement.key)}`
  }
}

/** Whether it says that it is signed by one of `keys`; nothing is verified. */
export function namesKey(bytes: Uint8Array, keys: readonly Uint8Array[], suite: Pick<Suite, 'hash'>): boolean {
  try {
    const keyId = decodeSign1(bytes, STATEMENT_LIMIT).protectedHeader.get(Header.keyId)
    return keyId instanceof Uint8Array && keys.some((key) => equalPublic(keyIdOf(key, suite), keyId))
  } catch (error) {
    if (error instanceof CborError) return false
    throw error
  }
}

/** Which of `keys` a statement says that it is signed by. Throws AditError `statement-refused` where it is none of them. */
export function signerOf(bytes: Uint8Array, keys: readonly Uint8Array[], suite: Pick<Suite, 'hash'>): Uint8Array {
  try {
    return signingKey(decodeSign1(bytes, STATEMENT_LIMIT), keys, suite)
  } catch (error) {
    if (error instanceof CborError) throw refused(`it cannot be read: ${error.message}`)
    throw error
  }
}

function readSigned(bytes: Uint8Array, keys: readonly Uint8Array[], suite: Pick<Suite, 'ed25519' | 'hash'>): Statement {
  try {
    const message = decodeSign1(bytes, STATEMENT_LIMIT)
    const key = signingKey(message, keys, suite)
    if (!verifySign1(message, suite.ed25519, key, externalAad)) throw refused('its signature does not fit')
    return decodeBody(message.payload)
  } catch (error) {
    if (error instanceof CborError) throw refused(`it cannot be read: ${error.message}`)
    throw error
  }
}

/** The key that the message names, of those that count here. Nothing else in the headers is taken: what is not known is not guessed. */
function signingKey(
  { protectedHeader, unprotectedHeader }: Sign1,
  keys: readonly Uint8Array[],
  suite: Pick<Suite, 'hash'>,
): Uint8Array {
  const keyId = protectedHeader.get(Header.keyId)
  if (protectedHeader.get(Header.algorithm) !== Algorithm.EdDSA || !(keyId instanceof Uint8Array))
    throw refused('it names no algorithm and key of ours')
  if (protectedHeader.size !== 2 || unprotectedHeader.size !== 0) throw refused('it has headers that this program does not know')
  const key = keys.find((candidate) => equalPublic(keyIdOf(candidate, suite), keyId))
  if (key === undefined)
    throw refused(
      'it is signed by a key that does not count here',
      'Compare the fingerprints: adit fleet show at the administrator, adit-agent status on the device.',
    )
  return key
}

const clockMend = 'Check the clocks of this machine and of the one that signed.'

const isoTime = (ms: number): string => (Number.isNaN(new Date(ms).getTime()) ? 'no time' : new Date(ms).toISOString())

export const refused = (why: string, mend = 'Have the administrator look at it and sign anew: adit fleet sign.'): AditError =>
  new AditError('statement-refused', `A statement of the fleet is refused: ${why}.`, mend)
