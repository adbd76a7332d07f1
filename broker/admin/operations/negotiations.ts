import { z } from 'zod'
import { describeNegotiation } from '#broker/registry/negotiation-document.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Office } from '../office.ts'
import { type Operation, operation } from '../operation.ts'

const query = z.strictObject({
  /** Name of a device or an operator. */
  peer: z.string().optional(),
  after: z.int().min(0).optional(),
  limit: z.int().min(1).max(1_000).default(20),
})

export const negotiationOperations: Record<string, Operation> = {
  /** Negotiations of IKE that came to nothing: the newest first, or with `after` those that follow in their order. */
  negotiations: operation(query, async ({ registry }, { peer, after, limit }) => {
    const principal = peer === undefined ? undefined : find(registry, peer)
    const rows = await registry.negotiations.query({
      limit,
      ...(principal && { principalId: principal.id }),
      ...(after !== undefined && { after }),
    })
    const documents = rows.map((row) => describeNegotiation(row, registry.directory))
    return after === undefined ? documents.reverse() : documents
  }),
}

/** An agent of either kind may speak IKE. Throws AditError `device-unknown`. */
function find({ directory, devices }: Office['registry'], text: string): Principal {
  const name = text.toLowerCase()
  return directory.byName('device', name) ?? directory.byName('operator', name) ?? devices.get(name)
}
