import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { proofIn, provenChain } from '#broker/api/proven-chain.ts'
import type { FactoryStore } from '#broker/registry/factories.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Idevid, judgeIdevid } from '#shared/enrolment/idevid.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { factoryPurposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Clock } from '#shared/time/instant.ts'

/** A board that has proven, over TLS or on its channel, who its maker says it is. */
export interface ProvenBoard extends Idevid {
  /** SHA-256 of the maker's root, hex. */
  readonly fingerprint: string
}

interface IdevidsParts {
  factories: Pick<FactoryStore, 'roots' | 'fingerprintOf'>
  suite: Pick<Suite, 'hash' | 'ecdsaP256'>
  clock: Clock
  log: Log
}

/** Which board is at the other end of a connection. That it belongs here is not said by this: its voucher says so. */
export class Idevids {
  readonly #parts: IdevidsParts

  constructor(parts: IdevidsParts) {
    this.#parts = parts
  }

  /** Undefined where the client shows nothing that would be an IDevID. Throws AditError `certificate-refused`, the reason only in the log. */
  of(request: IncomingMessage): ProvenBoard | undefined {
    const { factories, suite, clock, log } = this.#parts
    const socket = request.socket as TLSSocket
    try {
      const chain = provenChain(socket, proofIn(request), suite)
      if (chain[0] === undefined || !isForBoards(chain[0])) return undefined
      const idevid = judgeIdevid(chain, factories.roots, clock.wall())
      return { ...idevid, fingerprint: factories.fingerprintOf(idevid.factory) }
    } catch (error) {
      if (!(error instanceof PkiError)) throw error
      log.info({ reason: error.message, from: socket.remoteAddress }, 'IDevID refused')
      throw refusedBoard(error)
    }
  }
}

/** Whether it has an IDevID's purpose; what cannot be read is nobody's. */
function isForBoards(der: Uint8Array): boolean {
  try {
    return parseCertificate(der).extensions.purposes?.oids.includes(factoryPurposes.idevid) ?? false
  } catch (error) {
    if (error instanceof PkiError) return false
    throw error
  }
}

/** The one outward sentence, whatever the reason: of no maker that is believed, of no fleet, of another one. */
export const refusedBoard = (cause?: unknown): AditError =>
  new AditError(
    'certificate-refused',
    'The broker does not accept this certificate.',
    "Ask the broker's operator whether the voucher of this board is there.",
    { cause },
  )
