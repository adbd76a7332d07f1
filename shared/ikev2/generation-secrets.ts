import { type Suite, wipe } from '#shared/crypto/suite.ts'
import type { Proposal } from '#shared/wire/ike-payload/payload.ts'
import { type IkeAlgorithms, ikeAlgorithms } from './agreed-algorithms.ts'
import {
  deriveIkeKeys,
  type IkeKeys,
  type IkeSpis,
  mixPpk,
  type Nonces,
  prfFunction,
  rekeyedSkeyseed,
  resumedSkeyseed,
  skeyseed,
  wipeIkeKeys,
} from './key-material.ts'
import type { PrfFunction } from './signed-octets.ts'
import { SkEnvelope } from './sk-envelope.ts'

/** What an exchange agreed on, before there are keys. */
interface Agreed {
  readonly chosen: Proposal
  readonly algorithms: IkeAlgorithms
  readonly prf: PrfFunction
}

function agreed(suite: Suite, chosen: Proposal): Agreed {
  const algorithms = ikeAlgorithms(chosen)
  return { chosen, algorithms, prf: prfFunction(suite, algorithms.prf) }
}

/** What one exchange agreed on for an IKE SA: algorithms, keys, and the envelope that they make. */
export class GenerationSecrets {
  /** As the exchange chose it, one transform a type. */
  readonly chosen: Proposal
  readonly prf: PrfFunction
  readonly envelope: SkEnvelope
  #keys: IkeKeys

  constructor(suite: Suite, { chosen, algorithms, prf }: Agreed, keys: IkeKeys, isInitiator: boolean) {
    this.chosen = chosen
    this.prf = prf
    this.#keys = keys
    this.envelope = new SkEnvelope(suite, algorithms, keys, isInitiator)
  }

  get keys(): IkeKeys {
    return this.#keys
  }

  /** What authentication and everything derived would rest on with a postquantum key (RFC 8784); the envelope stays as it is. */
  mixed(ppk: Uint8Array): IkeKeys {
    return mixPpk(this.prf, this.#keys, ppk)
  }

  /** From now on these, which `mixed` made. */
  adopt(keys: IkeKeys): void {
    const { d, pi, pr } = this.#keys
    this.#keys = keys
    wipe(d, pi, pr)
  }

  wipe(): void {
    this.envelope.wipe()
    wipeIkeKeys(this.#keys)
  }
}

/** What an exchange puts into the keys. `shared` is wiped. */
export interface KeyInputs {
  readonly shared: Uint8Array
  readonly nonces: Nonces
  readonly spis: IkeSpis
  /** Whether we began this exchange. */
  readonly isInitiator: boolean
}

/** Of the first exchange (RFC 7296 §2.14). */
export function initialSecrets(suite: Suite, chosen: Proposal, inputs: KeyInputs): GenerationSecrets {
  const on = agreed(suite, chosen)
  return derive(suite, on, skeyseed(on.prf, inputs.nonces, inputs.shared), inputs)
}

/** Of a rekey of `old` (RFC 7296 §2.18). */
export function rekeyedSecrets(suite: Suite, old: GenerationSecrets, chosen: Proposal, inputs: KeyInputs): GenerationSecrets {
  return derive(suite, agreed(suite, chosen), rekeyedSkeyseed(old.prf, old.keys.d, inputs.shared, inputs.nonces), inputs)
}

/** Of a session resumed with SK_d and the algorithms of an earlier one (RFC 5723 §5.1). */
export function resumedSecrets(
  suite: Suite,
  chosen: Proposal,
  d: Uint8Array,
  inputs: Omit<KeyInputs, 'shared'>,
): GenerationSecrets {
  const on = agreed(suite, chosen)
  return derive(suite, on, resumedSkeyseed(on.prf, d, inputs.nonces), inputs)
}

function derive(
  suite: Suite,
  on: Agreed,
  seed: Uint8Array,
  { shared, nonces, spis, isInitiator }: Omit<KeyInputs, 'shared'> & { readonly shared?: Uint8Array },
): GenerationSecrets {
  const keys = deriveIkeKeys(on.prf, on.algorithms, seed, nonces, spis)
  wipe(seed, shared)
  return new GenerationSecrets(suite, on, keys, isInitiator)
}
