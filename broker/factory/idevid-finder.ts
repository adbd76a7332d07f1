import type { FastifyRequest } from 'fastify'
import { Idevids, refusedBoard } from '#broker/factory/idevids.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Right } from '#broker/registry/right.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Clock } from '#shared/time/instant.ts'

interface FinderParts {
  registry: Pick<Registry, 'factories' | 'vouchers'>
  suite: Pick<Suite, 'hash' | 'ecdsaP256'>
  clock: Clock
  log: Log
}

/**
 * The right that a request's IDevID gives: undefined where the client shows none. Throws AditError `certificate-refused`, alike
 * for one that is nobody's and one whose board is not of this fleet.
 */
export function idevidFinder({
  registry,
  suite,
  clock,
  log,
}: FinderParts): (request: FastifyRequest) => Promise<Right | undefined> {
  const idevids = new Idevids({ factories: registry.factories, suite, clock, log })
  return async (request) => {
    const board = idevids.of(request.raw)
    if (board === undefined) return undefined
    const right = await registry.vouchers.right({ factory: board.fingerprint, serial: board.serial })
    if (right !== undefined) return right
    log.info({ serial: board.serial, from: request.ip }, 'a board without a voucher asked to enrol')
    throw refusedBoard()
  }
}
