import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'

const code = z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/)

/** Bounded, since it is kept: what a device says is shown to people, and believed by nothing. */
const diagnosisBody = z.object({
  verdict: code,
  findings: z
    .array(
      z.object({
        state: z.enum(['broken', 'warn', 'ok']),
        code,
        text: z.string().max(500),
        mend: z.string().max(500),
      }),
    )
    .max(16),
})

/** `PUT /v1/agent/diagnosis`: what an agent's doctor found, for `adit why`. */
export function diagnosisRoute(app: ApiServer, { registry }: ApiParts): void {
  app.put(
    '/v1/agent/diagnosis',
    {
      config: { access: 'agent' },
      schema: {
        summary: "Tells the broker what the agent's own examination found; the one before is forgotten",
        tags: ['agents'],
        body: diagnosisBody,
        response: { 200: z.object({}) },
      },
    },
    async (request) => {
      await registry.diagnoses.save(callerOf(request).principal.id, request.body)
      return {}
    },
  )
}
