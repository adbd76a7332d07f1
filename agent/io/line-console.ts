import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { ConsoleLink } from '#shared/enrolment/console-link.ts'
import { decodeWord, encodeWord, type TakeAnswer, type WhoAnswer } from '#shared/enrolment/console-words.ts'
import { heldHash } from '#shared/enrolment/held-certificate.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { createRequest } from '#shared/pki/request.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { type Duration, seconds } from '#shared/time/instant.ts'
import type { StateFolder } from './state-folder.ts'
import { certifiedKey, type GivenIdentity, takeIdentity } from './take-identity.ts'
import type { TokenPlace } from './token-place.ts'

export interface ConsoleOptions {
  readonly folder: StateFolder
  readonly suite: Suite
  readonly timers: Timers
  /** What the board is known by, and whether a person said so. */
  readonly serial: string | undefined
  readonly said: boolean
  /** Where the identity key is to be, if in hardware. */
  readonly pkcs11?: TokenPlace | undefined
  /** For how long nobody may speak. */
  readonly patience: Duration
  write(text: string): void
}

const announceEvery = seconds(1)

/**
 * The board's end of a serial console, at which a station gives it its identity. Who has the cable in hand is believed, as whoever has the
 * card; but a board that is somebody already stays it. Every question may come again, in a new session too, and has the same answer.
 */
export class LineConsole {
  /** Settles with whether this board has an identity, when the station says the end, or has been silent for too long. */
  readonly ended: Promise<boolean>
  readonly #options: ConsoleOptions
  readonly #link: ConsoleLink
  #timers: { clear(): void }[] = []
  #heard = 0
  #end: () => void = () => {}
  #turn: Promise<void> = Promise.resolve()

  constructor(options: ConsoleOptions) {
    this.#options = options
    this.#link = new ConsoleLink('board', options)
    this.#link.onMessage = (message) => {
      const { session } = this.#link
      this.#turn = this.#turn.then(() => this.#answer(message, session)).catch(() => {})
    }
    this.ended = new Promise<void>((resolve) => {
      this.#end = resolve
    }).then(async () => {
      for (const timer of this.#timers) timer.clear()
      this.#link.close()
      return (await certifiedKey(options.folder)) !== undefined
    })
    this.#wait()
    this.#announce()
  }

  receive(bytes: Uint8Array): void {
    this.#wait()
    this.#link.receive(bytes)
  }

  /** To whoever asked, and nobody else: the cable may be in another session by the time that keys are made. */
  async #answer(message: Uint8Array, session: number | undefined): Promise<void> {
    if (this.#link.session !== session) return
    const word = decodeWord(message)
    if (word.ask === 'end') {
      this.#end()
      return
    }
    const answer = await this.#answerTo(word).catch((error): object => toAditError(error))
    if (this.#link.session === session) await this.#link.send(encodeWord(answer))
  }

  async #answerTo(word: Record<string, unknown>): Promise<WhoAnswer | TakeAnswer> {
    const { folder, suite, serial, said, pkcs11 } = this.#options
    const keys = await folder.makeKeys(suite, pkcs11)
    if (word.ask === 'who') {
      const enrolmentKey = new Uint8Array(Buffer.from(String(word.enrolmentKey), 'base64'))
      const tunnel = { pair: keys.tunnel, enrolmentKey }
      const request = createRequest({ name: serial ?? 'unit', identity: keys.identity, tunnel }, suite)
      return { ...(serial !== undefined && { serial, said }), request: Buffer.from(request).toString('base64') }
    }
    if (word.ask !== 'take')
      throw new AditError('usage', 'The board knows no such question.', 'Use programs of the same version.')
    const mine = await certifiedKey(folder)
    if (mine === undefined) await takeIdentity(folder, givenIn(word), suite, pkcs11)
    else if (!equalPublic(mine, p256Spki(keys.identity.publicKey))) throw somebodyElse(folder)
    const { chain } = (await folder.certificates())!
    return { held: heldHash(chain, suite) }
  }

  /** A station may be plugged in at any time, and looks before it types. */
  #announce(): void {
    if (this.#link.heard === this.#heard) this.#link.announce()
    this.#heard = this.#link.heard
    this.#timers[1] = this.#options.timers.setTimer(announceEvery, () => this.#announce())
  }

  #wait(): void {
    this.#timers[0]?.clear()
    this.#timers[0] = this.#options.timers.setTimer(this.#options.patience, () => this.#end())
  }
}

function givenIn({ chain, root, api, addresses, fleetKey }: Record<string, unknown>): GivenIdentity {
  const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every((text) => typeof text === 'string')
  const isWhole = typeof chain === 'string' && typeof root === 'string' && isTexts(api) && api.length > 0
  if (!isWhole || !api.every((url) => URL.canParse(url) && new URL(url).protocol === 'https:'))
    throw new AditError(
      'certificate-refused',
      'The identity that the station gave is not whole.',
      'Use programs of the same version.',
    )
  const key = typeof fleetKey === 'string' ? new Uint8Array(Buffer.from(fleetKey, 'base64')) : undefined
  return {
    chain,
    root,
    api,
    addresses: isTexts(addresses) ? addresses : undefined,
    fleetKey: key?.length === 32 ? key : undefined,
  }
}

const somebodyElse = (folder: StateFolder): AditError =>
  new AditError('already-enrolled', `The board is enrolled already (${folder.path}).`, 'Empty that folder on the board first.')
