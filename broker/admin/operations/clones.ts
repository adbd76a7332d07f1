import { z } from 'zod'
import type { Clone } from '#broker/registry/clones.ts'
import { AditError } from '#shared/errors.ts'
import { days } from '#shared/time/instant.ts'
import { isoTime } from '../iso-time.ts'
import type { Office } from '../office.ts'
import { nothing, type Operation, operation } from '../operation.ts'
import { claimTokens } from './claim-token.ts'

const numbered = z.strictObject({ id: z.int().min(1) })
const granted = z.strictObject({ id: z.int().min(1), name: z.string() })

/** How long the copy has to take up the name. */
const grantLasts = days(30)

export const cloneOperations: Record<string, Operation> = {
  'clones.list': operation(nothing, async ({ registry }) =>
    (await registry.clones.list()).map((clone) => document(clone, registry)),
  ),
  'clones.show': operation(numbered, async ({ registry }, { id }) => document(await registry.clones.get(id), registry)),
  'clones.grant': operation(granted, async (office, { id, name }) => {
    const { registry, actor } = office
    const clone = await registry.clones.get(id)
    if (clone.state !== 'held' && clone.state !== 'granted') throw decided(clone)
    const tokens = await claimTokens(office)
    const claim = tokens.of(await registry.claims.create({ role: 'device', name, ttl: grantLasts }, actor), 'device')
    const audit = { actor, action: 'clone.grant' }
    return document(await registry.clones.decide(clone, { state: 'granted', name, claim }, audit), registry)
  }),
  'clones.dismiss': operation(numbered, async ({ registry, actor }, { id }) => {
    const clone = await registry.clones.get(id)
    if (clone.state !== 'held') throw decided(clone)
    const audit = { actor, action: 'clone.dismiss' }
    return document(await registry.clones.decide(clone, { state: 'dismissed' }, audit), registry)
  }),
}

/** Without its claim: that is for the copy alone. */
const document = (clone: Clone, registry: Office['registry']): object => ({
  id: clone.id,
  device: registry.directory.byId(clone.principalId)?.name ?? null,
  state: clone.state,
  found: isoTime(clone.foundAt),
  last: isoTime(clone.lastAt),
  contacts: clone.contacts,
  from: clone.source ?? null,
  differs: clone.differing,
  // Whether it had passed for the device before the device came back.
  wasFirst: clone.kept === 'newcomer',
  name: clone.name ?? null,
})

const decided = ({ id, state }: Clone): AditError =>
  new AditError('request-refused', `Copy ${id} is decided already: ${state}.`, 'See: adit-broker clones list')
