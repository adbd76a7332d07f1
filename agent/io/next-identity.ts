import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { toAditError } from '#shared/errors.ts'
import { readSecret, removeDurably, writeDurably } from '#shared/platform/files.ts'
import { identityKeyFromPem, identityKeyToPem } from './identity-key.ts'
import { RatchetStore } from './ratchet-store.ts'
import type { AgentKeys, StateFolder } from './state-folder.ts'
import { checkTokenPlace, nextKeyLabel, type TokenPlace } from './token-place.ts'
import { writeBothCopies } from './two-copies.ts'

/** Keys that were made, or are being made in a token, and are not in use yet; and their certificate once it is there. */
interface Coming {
  /** PKCS#8; undefined where the key is in a token. */
  readonly identityPem?: string
  /** Its place there, known before it is made: a power cut leaves no key that nobody knows of. */
  readonly token?: TokenPlace
  /** X25519 private key, base64. */
  readonly tunnel: string
  /** It is the one that is in use, and stays. */
  readonly keepsTunnel?: boolean
  /** PEM, leaf first. From then on the change is to be finished, whatever happens. */
  readonly chain?: string
  /** Where the keys are somebody else's: a copy that becomes a device of its own. */
  readonly name?: string
  /** The token's key that is to die when the next one is in its place. */
  readonly former?: TokenPlace
}

/** What STATE/next-identity.json holds; in the end only that a token's former key has not died yet. */
type Stored = Coming | { readonly dying: TokenPlace }

/**
 * Changes the keys of an enrolled folder, in files or in the token that has them. The new ones are safe before anybody hears of them, and a
 * power cut at any moment leaves either the old identity, whose next attempt offers the same new keys, or one that `finish` completes. A
 * key in a token dies when its successor's certificate is safe, and not before.
 */
export class NextIdentity {
  readonly #folder: StateFolder
  readonly #suite: Suite
  readonly #said: TokenPlace | undefined

  /** `said`: where a person says that the token is by now. */
  constructor(folder: StateFolder, suite: Suite, said?: TokenPlace) {
    this.#folder = folder
    this.#suite = suite
    this.#said = said
  }

  /**
   * The keys that were made before, or new ones, which are safe when this resolves. `tunnel`: the one that stays; else that is new too.
   * Throws `key-token-missing` or `key-token-refused` where the token makes none.
   */
  async keys(tunnel?: KeyPair): Promise<AgentKeys> {
    await this.finish()
    const place = await this.#folder.tokenPlace()
    const stored = await this.#read()
    const made = stored && !('dying' in stored) ? stored : undefined
    const identity = isOfKind(made, place) ? made : place ? { token: await this.#freePlace(place) } : this.#makeIdentity()
    const coming = { ...identity, ...this.#tunnelFor(made, tunnel) }
    await this.#write(coming)
    return this.#keysOf(coming)
  }

  /** The certificate is there: from here on it is who we are. */
  async certified(chain: string, name?: string): Promise<void> {
    const stored = await this.#read()
    if (stored === undefined || 'dying' in stored) throw new TypeError('certified are keys that were made')
    // Whoever becomes another device may have copied the token's key, which is then the first one's.
    const former = name === undefined && stored.token ? await this.#folder.tokenPlace() : undefined
    await this.#write({ ...stored, chain, ...(name !== undefined && { name }), ...(former && { former }) })
    await this.finish()
  }

  /** Puts a certified identity into its place, however far that was done before. Harmless where there is none. */
  async finish(): Promise<void> {
    const stored = await this.#read()
    if (stored === undefined) return
    if ('dying' in stored) return this.#bury(stored.dying)
    if (stored.chain === undefined) return
    await this.#putInPlace({ ...stored, chain: stored.chain })
    if (stored.former === undefined) return removeDurably(this.#folder.file('next-identity.json'))
    await this.#write({ dying: stored.former })
    await this.#bury(stored.former)
  }

  async #putInPlace({ chain, name, tunnel, identityPem, token }: Coming & { chain: string }): Promise<void> {
    const folder = this.#folder
    const { root } = (await folder.certificates().catch(() => undefined)) ?? {}
    await writeBothCopies(folder.file('tunnel.key'), `${tunnel}\n`)
    if (identityPem !== undefined) await writeBothCopies(folder.file('identity.key'), identityPem)
    if (token) await folder.putToken(token)
    await (root === undefined ? writeBothCopies(folder.file('certificate.pem'), chain) : folder.saveCertificates({ chain, root }))
    if (name === undefined) return
    const record = await folder.record()
    const { config: _config, ...rest } = record ?? { api: [], role: 'device' as const }
    await folder.saveRecord({ ...rest, name })
    await new RatchetStore(folder.file('ratchet')).remove()
  }

  /** While the token is away it waits for the next time; a token that lets no key be deleted keeps one that opens nothing. */
  async #bury(place: TokenPlace): Promise<void> {
    const { destroyTokenKey } = await import('./key-token.ts')
    try {
      await destroyTokenKey(this.#at(place), this.#suite)
    } catch (error) {
      if (toAditError(error).code === 'key-token-missing') return
    }
    await removeDurably(this.#folder.file('next-identity.json'))
  }

  /** Under a label that the token has no key of yet: what lies there may have been somebody's. */
  async #freePlace(place: TokenPlace): Promise<TokenPlace> {
    const { hasTokenKey } = await import('./key-token.ts')
    let next = { ...place, key: nextKeyLabel(place.key) }
    while (await hasTokenKey(this.#at(next), this.#suite)) next = { ...next, key: nextKeyLabel(next.key) }
    return next
  }

  #at(place: TokenPlace): TokenPlace {
    return this.#said === undefined ? place : { ...this.#said, key: place.key }
  }

  #makeIdentity(): Pick<Coming, 'identityPem'> {
    return { identityPem: identityKeyToPem(this.#suite.ecdsaP256.generate()) }
  }

  #tunnelFor(made: Coming | undefined, kept: KeyPair | undefined): Pick<Coming, 'tunnel' | 'keepsTunnel'> {
    if (kept) return { tunnel: Buffer.from(kept.privateKey).toString('base64'), keepsTunnel: true }
    if (made && !made.keepsTunnel) return { tunnel: made.tunnel, keepsTunnel: false }
    return { tunnel: Buffer.from(this.#suite.x25519.generate().privateKey).toString('base64'), keepsTunnel: false }
  }

  async #keysOf({ identityPem, token, tunnel: key }: Coming): Promise<AgentKeys> {
    const tunnel = this.#suite.x25519.pair(new Uint8Array(Buffer.from(key, 'base64')))
    if (token) {
      const { makeTokenKey } = await import('./key-token.ts')
      return { identity: await makeTokenKey(this.#at(token), this.#suite), tunnel, identityPem: undefined }
    }
    const identity = identityKeyFromPem(identityPem!, this.#folder.file('next-identity.json'), this.#suite)
    return { identity, tunnel, identityPem }
  }

  /** Written whole or not at all; one that cannot be read was spoilt since, and new keys do as well. */
  async #read(): Promise<Stored | undefined> {
    const bytes = await readSecret(this.#folder.file('next-identity.json'))
    try {
      const stored = bytes && (JSON.parse(Buffer.from(bytes).toString('utf8')) as Stored)
      if (stored === undefined) return undefined
      if ('dying' in stored) return { dying: checkTokenPlace(stored.dying) }
      if (stored.token) checkTokenPlace(stored.token)
      else await this.#keysOf(stored)
      return stored
    } catch {
      return undefined
    }
  }

  #write(stored: Stored): Promise<void> {
    return writeDurably(this.#folder.file('next-identity.json'), `${JSON.stringify(stored)}\n`)
  }
}

/** A key in a token is followed by one in that token, a file by a file: neither takes the other's place. */
const isOfKind = (made: Coming | undefined, place: TokenPlace | undefined): made is Coming =>
  made !== undefined && (made.token !== undefined) === (place !== undefined)
