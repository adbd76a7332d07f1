import { z } from 'zod'
import { keyText } from '#broker/enrolment/est-answer.ts'
import type { EnrolmentRequest } from '#broker/registry/enrolments.ts'
import { isoTime } from '../iso-time.ts'
import { labels, type Operation, operation } from '../operation.ts'

const id = z.int().min(1)
const approval = z.strictObject({ id, name: z.string().optional(), tags: labels })

export const enrolmentOperations: Record<string, Operation> = {
  'enrolments.list': operation(z.strictObject({ all: z.boolean().default(false) }), async ({ registry }, { all }) =>
    (await registry.enrolments.list(all)).map(document),
  ),
  'enrolments.show': operation(z.strictObject({ id }), async ({ registry }, request) =>
    document(await registry.enrolments.get(request.id)),
  ),
  'enrolments.approve': operation(approval, async ({ registry, actor }, { id, name, tags }) =>
    document(
      await registry.enrolments.approve(id, { ...(name !== undefined && { name }), ...(tags.length > 0 && { tags }) }, actor),
    ),
  ),
  'enrolments.deny': operation(z.strictObject({ id, reason: z.string() }), async ({ registry, actor }, { id, reason }) =>
    document(await registry.enrolments.deny(id, reason, actor)),
  ),
}

/** A request as it would enrol, and how it stands. */
const document = (request: EnrolmentRequest): object => ({
  id: request.id,
  state: request.state,
  role: request.role,
  name: request.wish?.name ?? request.name ?? null,
  tags: [...new Set([...request.tags, ...(request.wish?.tags ?? [])])],
  serial: request.serial ?? null,
  key: keyText(request.spkiSha256),
  keySha256: request.spkiSha256,
  right: request.rightId,
  from: request.source,
  asked: isoTime(request.askedAt),
  seen: isoTime(request.seenAt),
  decided: request.decidedAt === undefined ? null : isoTime(request.decidedAt),
  decidedBy: request.decidedBy ?? null,
  reason: request.reason ?? null,
})
