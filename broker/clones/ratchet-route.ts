import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { RatchetDesk } from '#broker/clones/ratchet-desk.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { RATCHET_LENGTH } from '#shared/enrolment/ratchet.ts'
import { backgroundTimers } from '#shared/platform/timers.ts'

const secret = z.base64().transform((text, context) => {
  const bytes = new Uint8Array(Buffer.from(text, 'base64'))
  if (bytes.length === RATCHET_LENGTH) return bytes
  context.addIssue({ code: 'custom', message: `${RATCHET_LENGTH} bytes in base64` })
  return z.NEVER
})

const hint = z
  .string()
  .regex(/^[0-9a-f]{16,64}$/)
  .optional()

const contactDocument = z.object({
  step: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  present: secret,
  next: secret,
  hints: z.object({
    cpu: hint,
    card: hint,
    macs: z
      .array(z.string().regex(/^[0-9a-f]{16,64}$/))
      .max(16)
      .optional(),
    model: hint,
    machine: hint,
  }),
  clone: z.number().int().min(1).optional().describe('as which it was told that it is held'),
  starts: z.boolean().default(false).describe('whether it is the first since the agent was started'),
})

const replyDocument = z.object({
  verdict: z.enum(['advanced', 'renew-keys', 'held']),
  ticket: z.string().optional().describe('lets this caller alone have fresh keys certified: the header Adit-Ratchet'),
  clone: z.number().optional().describe('number of the copy that the caller is'),
  claim: z.string().optional().describe('with which the copy may become a device of its own'),
  timestamp: z.string().optional().describe("the last TAI64N taken from the caller's tunnel key, hex"),
})

/** The ratchet by which copies of a device are noticed: at each boot, each renewal, and whenever the broker tells of a change. */
export function ratchetRoute(app: ApiServer, { registry, suite, log, gateway }: ApiParts): void {
  const desk = new RatchetDesk({ registry, suite, log, timers: backgroundTimers })
  app.post(
    '/v1/agent/ratchet',
    {
      config: { access: 'ratchet' },
      schema: { summary: 'A secret is replaced', tags: ['agents'], body: contactDocument, response: { 200: replyDocument } },
    },
    async (request) => {
      const { principal, peer } = callerOf(request)
      const { step, present, next, hints, clone, starts } = request.body
      const hash = (bytes: Uint8Array): string => toHex(suite.hash('sha256', bytes))
      const caller = { principal, spki: peer.spkiSha256Hex, source: request.ip, starts }
      const reply = await desk.contact(caller, { step, present: hash(present), next: hash(next), hints }, clone)
      const taken = principal.tunnelKey === undefined ? undefined : gateway.lastTimestamp(principal.tunnelKey)
      return { ...reply, ...(reply.verdict !== 'held' && taken && { timestamp: toHex(taken) }) }
    },
  )
}
