import type * as Graphene from 'graphene-pk11'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { IdentitySigner } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { derFromRaw } from '#shared/ikev2/ecdsa-form.ts'
import { readSecret } from '#shared/platform/files.ts'
import { isLoaded, loadGraphene, loadModule, unloadModule, unloadModules } from './pkcs11-module.ts'
import {
  codeOf,
  explainMaking,
  explainToken,
  extractableKey,
  isLost,
  lastTry,
  lockedPin,
  noCurve,
  noKey,
  noPin,
  noToken,
  notP256,
  otherKey,
  twoKeys,
  twoTokens,
  wrongPin,
} from './token-faults.ts'
import type { TokenPlace } from './token-place.ts'

/**
 * Identity keys in hardware, through PKCS#11 (OASIS PKCS#11 2.40): a TPM by tpm2-pkcs11, a secure element, a smart card, SoftHSM. The
 * private key is made in the token and never leaves it. `graphene-pk11` is loaded when a key is asked for and at no other time.
 *
 * A token signs in this thread: a TPM takes some 50 to 150 ms, once a certificate, once a connection to the API, once an IKE SA.
 */

/** EC parameters: the OID of P-256 in DER. */
const p256 = Buffer.from('06082a8648ce3d030107', 'hex')
const pointLength = 65

process.once('exit', () => closeTokens())
const keys = new Map<string, TokenKey>()
/** PINs that a token did not take, by token: a second try with the same one brings it nearer to its lock, and nothing else. */
const refusedPins = new Map<string, string>()

/** The key that is there. Throws AditError `key-token-missing` or `key-token-refused`, or what reading the PIN throws. */
export const openTokenKey = (place: TokenPlace, suite: Suite): Promise<IdentitySigner> => tokenKey(place, suite, false)

/** The key that is there, or a new one, which lasts in the token when this resolves: enrolling again finds it. */
export const makeTokenKey = (place: TokenPlace, suite: Suite): Promise<IdentitySigner> => tokenKey(place, suite, true)

/** Whether a key of that label is there. Throws as `openTokenKey` where the token is away. */
export async function hasTokenKey(place: TokenPlace, suite: Suite): Promise<boolean> {
  return new TokenKey(await loadGraphene(), place, await readPin(place), suite).isThere()
}

/** The key dies in the token: both halves. Throws as `openTokenKey` where the token is away. */
export async function destroyTokenKey(place: TokenPlace, suite: Suite): Promise<void> {
  const key = new TokenKey(await loadGraphene(), place, await readPin(place), suite)
  key.destroy()
  keys.delete(JSON.stringify(place))
}

async function tokenKey(place: TokenPlace, suite: Suite, make: boolean): Promise<IdentitySigner> {
  const name = JSON.stringify(place)
  const known = keys.get(name)
  if (known) return known
  const graphene = await loadGraphene()
  const key = new TokenKey(graphene, place, await readPin(place), suite)
  key.open(make)
  keys.set(name, key)
  return key
}

/** Lets go of every token: another program may be waiting for one that serves one at a time. Keys that are in use open theirs again. */
export function closeTokens(): void {
  keys.clear()
  unloadModules()
}

/** One key, with the session in which it signs; a session that was lost is made anew once. */
class TokenKey implements IdentitySigner {
  readonly #graphene: typeof Graphene
  readonly #place: TokenPlace
  readonly #pin: string
  readonly #suite: Suite
  #public: Uint8Array | undefined
  #private: Graphene.PrivateKey | undefined
  #module: Graphene.Module | undefined

  constructor(graphene: typeof Graphene, place: TokenPlace, pin: string, suite: Suite) {
    this.#graphene = graphene
    this.#place = place
    this.#pin = pin
    this.#suite = suite
  }

  get publicKey(): Uint8Array {
    if (this.#public === undefined) throw new TypeError('the token was not opened')
    return this.#public
  }

  /** Throws AditError. */
  open(make = false): void {
    try {
      const session = this.#login(make)
      const found = this.#find(session) ?? (make ? this.#generate(session) : undefined)
      if (found === undefined) throw noKey(this.#place)
      const publicKey = this.#publicOf(session)
      if (this.#public !== undefined && !equalPublic(this.#public, publicKey)) throw otherKey(this.#place)
      this.#private = found
      this.#public = publicKey
      this.#probe(publicKey)
    } catch (error) {
      throw explainToken(error, this.#place)
    }
  }

  isThere(): boolean {
    try {
      const session = this.#login(false)
      const found = this.#find(session)
      session.close()
      return found !== undefined
    } catch (error) {
      throw explainToken(error, this.#place)
    }
  }

  destroy(): void {
    try {
      const session = this.#login(true)
      const { ObjectClass } = this.#graphene
      for (const kind of [ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY]) {
        const found = session.find({ class: kind, label: this.#place.key })
        for (let at = 0; at < found.length; at++) found.items(at).destroy()
      }
      session.close()
    } catch (error) {
      throw explainToken(error, this.#place)
    }
  }

  sign(message: Uint8Array): Uint8Array {
    const hash = Buffer.from(this.#suite.hash('sha256', message))
    const { module } = this.#place
    // Another key of this token has begun anew: what was ours in the module before may be the other's now.
    if (isLoaded(module, this.#module)) {
      try {
        return this.#signHash(hash)
      } catch (error) {
        if (!isLost(error)) throw explainToken(error, this.#place)
      }
      // The token was away, or its daemon began anew: what the module holds of it is of no use any more.
      unloadModule(module)
    }
    this.open()
    try {
      return this.#signHash(hash)
    } catch (error) {
      throw explainToken(error, this.#place)
    }
  }

  #signHash(hash: Buffer): Uint8Array {
    const key = this.#private
    if (key === undefined) throw new TypeError('the token was not opened')
    const raw = key.session.createSign('ECDSA', key).once(hash)
    return derFromRaw(Uint8Array.from(raw))
  }

  #login(make: boolean): Graphene.Session {
    const { SessionFlag, TokenFlag } = this.#graphene
    const slot = this.#slot()
    const { flags } = slot.getToken()
    if (flags & TokenFlag.USER_PIN_LOCKED) throw lockedPin(this.#place.token)
    // An agent that is started again and again must not be what locks a token for good.
    if (flags & TokenFlag.USER_PIN_FINAL_TRY) throw lastTry(this.#place)
    const name = JSON.stringify([this.#place.module, this.#place.token, this.#place.serial])
    if (refusedPins.get(name) === this.#pin) throw wrongPin(this.#place)
    const session = slot.open(SessionFlag.SERIAL_SESSION | (make ? SessionFlag.RW_SESSION : 0))
    try {
      session.login(this.#pin)
    } catch (error) {
      if (codeOf(error) === 'CKR_PIN_INCORRECT') refusedPins.set(name, this.#pin)
      if (codeOf(error) !== 'CKR_USER_ALREADY_LOGGED_IN') throw error
    }
    return session
  }

  #slot(): Graphene.Slot {
    const { module, token, serial } = this.#place
    this.#module = loadModule(this.#graphene, module)
    const slots = this.#module.getSlots(true)
    const all = Array.from({ length: slots.length }, (_, at) => slots.items(at))
    const tokens = all.map((slot) => slot.getToken()).map((one) => ({ label: one.label.trim(), serial: one.serialNumber.trim() }))
    const at = tokens.flatMap((one, index) => (one.label === token && (serial ?? one.serial) === one.serial ? [index] : []))
    if (at.length === 1) return all[at[0]!]!
    if (at.length > 1)
      throw twoTokens(
        this.#place,
        at.map((index) => tokens[index]!.serial),
      )
    const others = tokens.filter(({ label }) => label !== '').map((one) => `"${one.label}" (${one.serial})`)
    throw noToken(this.#place, others)
  }

  #find(session: Graphene.Session): Graphene.PrivateKey | undefined {
    const { ObjectClass } = this.#graphene
    const found = session.find({ class: ObjectClass.PRIVATE_KEY, label: this.#place.key })
    if (found.length > 1) throw twoKeys(this.#place)
    if (found.length === 0) return undefined
    const key = found.items(0).toType<Graphene.PrivateKey>()
    const { extractable } = key.getAttribute({ extractable: null })
    if (extractable) throw extractableKey(this.#place)
    return key
  }

  #generate(session: Graphene.Session): Graphene.PrivateKey {
    const { KeyGenMechanism, KeyType } = this.#graphene
    const both = { keyType: KeyType.EC, token: true, label: this.#place.key, id: Buffer.from(this.#suite.random(8)) }
    this.#checkMechanism(session.slot)
    try {
      session.generateKeyPair(
        KeyGenMechanism.EC,
        { ...both, private: false, verify: true, paramsECDSA: p256 },
        { ...both, private: true, sensitive: true, extractable: false, sign: true },
      )
    } catch (error) {
      throw explainMaking(error, this.#place)
    }
    // Found as the next start finds it, rather than taken from what the call returned.
    const key = this.#find(session)
    if (key === undefined) throw noKey(this.#place)
    return key
  }

  /** Before anything is made: some modules would make what they then cannot use. */
  #checkMechanism(slot: Graphene.Slot): void {
    const { EC } = this.#graphene.KeyGenMechanism
    const known = slot.getMechanisms()
    const types = Array.from({ length: known.length }, (_, at) => known.items(at).type)
    if (!types.includes(Number(EC))) throw noCurve(this.#place)
  }

  #publicOf(session: Graphene.Session): Uint8Array {
    const { ObjectClass } = this.#graphene
    const found = session.find({ class: ObjectClass.PUBLIC_KEY, label: this.#place.key })
    if (found.length === 0) throw noKey(this.#place)
    const { pointEC, paramsECDSA } = found.items(0).getAttribute({ pointEC: null, paramsECDSA: null })
    if (paramsECDSA && !equalPublic(paramsECDSA, p256)) throw notP256(this.#place)
    // A DER OCTET STRING around the point, which some modules leave out.
    const point = pointEC?.length === pointLength + 2 ? pointEC.subarray(2) : pointEC
    if (point?.length !== pointLength || point[0] !== 4) throw notP256(this.#place)
    return Uint8Array.from(point)
  }

  /** Whether both halves belong together shows here, and not as a broker's refusal. */
  #probe(publicKey: Uint8Array): void {
    const message = Uint8Array.from(Buffer.from('adit', 'ascii'))
    const signature = this.#signHash(Buffer.from(this.#suite.hash('sha256', message)))
    if (!this.#suite.ecdsaP256.verify(publicKey, message, signature)) throw otherKey(this.#place)
  }
}

/** The first line. Throws AditError `permission-unsafe` where others can read it. */
async function readPin({ pinFile }: TokenPlace): Promise<string> {
  const bytes = await readSecret(pinFile)
  const pin = bytes && Buffer.from(bytes).toString('utf8').split(/\r?\n/)[0]
  if (pin) return pin
  throw noPin(pinFile)
}
