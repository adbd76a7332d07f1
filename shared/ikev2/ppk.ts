import { concat } from '#shared/bytes/concat.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { NotifyType } from '#shared/wire/ike-numbers.ts'
import type { AuthPayload, IkePayload } from '#shared/wire/ike-payload/payload.ts'
import type { GenerationSecrets } from './generation-secrets.ts'
import type { Initiation } from './ike-context.ts'
import type { IkeKeys } from './key-material.ts'
import { findNotify, notify } from './notify.ts'

/**
 * Postquantum pre-shared keys (RFC 8784): mixed into SK_d, SK_pi and SK_pr of the first IKE SA, so that who recorded the key exchange and
 * computes it one day still learns no Child SA's keys.
 */

/** PPK_ID types (§5.1): an opaque one is what the peer calls a key identity. */
const FIXED = 2

export const ppkIdentity = (id: Uint8Array): Uint8Array => concat(Uint8Array.of(FIXED), id)

/** The identity of a PPK_IDENTITY notification; undefined for a kind that is not spoken. */
export const ppkIdOf = (data: Uint8Array): Uint8Array | undefined =>
  data[0] === FIXED && data.length > 1 ? data.subarray(1) : undefined

/** The initiator's side: two proofs go out, one with the PPK and one, unless it is mandatory, without; the answer says which counts. */
export class PpkOffer {
  readonly #ppk: NonNullable<Initiation['ppk']>
  readonly #secrets: GenerationSecrets
  #mixed: IkeKeys | undefined

  constructor(ppk: NonNullable<Initiation['ppk']>, secrets: GenerationSecrets) {
    this.#ppk = ppk
    this.#secrets = secrets
    this.#mixed = secrets.mixed(ppk.key)
  }

  /** `prove`: our AUTH payload over the octets that these keys give; undefined where we cannot. */
  payloads(prove: (keys: IkeKeys) => AuthPayload | undefined): IkePayload[] | undefined {
    const auth = prove(this.#mixed!)
    const plain = this.#ppk.mandatory ? undefined : prove(this.#secrets.keys)
    if (auth === undefined) return undefined
    return [
      auth,
      notify(NotifyType.PpkIdentity, ppkIdentity(this.#ppk.id)),
      ...(plain === undefined ? [] : [notify(NotifyType.NoPpkAuth, plain.data)]),
    ]
  }

  /** The answer has come: with our PPK_IDENTITY in it the PPK is in use from here on. False: it is not, and must be. */
  settle(answer: readonly IkePayload[]): boolean {
    const said = findNotify(answer, NotifyType.PpkIdentity)
    const id = said === undefined ? undefined : ppkIdOf(said.data)
    const isUsed = said !== undefined && (said.data.length === 0 || (id !== undefined && equalPublic(id, this.#ppk.id)))
    if (isUsed && this.#mixed !== undefined) {
      this.#secrets.adopt(this.#mixed)
      this.#mixed = undefined
      return true
    }
    this.wipe()
    return !this.#ppk.mandatory
  }

  wipe(): void {
    // What encrypts is shared with the keys in use.
    const mixed = this.#mixed
    this.#mixed = undefined
    if (mixed !== undefined) for (const key of [mixed.d, mixed.pi, mixed.pr]) key.fill(0)
  }
}
