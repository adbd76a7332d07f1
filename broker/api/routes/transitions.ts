import { z } from 'zod'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { rootName } from '#shared/pki/root-succession.ts'

const base64 = z.array(z.string())
const document = z.object({
  roots: base64.describe('every root that the fleet ever had, DER in base64, the first one first'),
  links: base64.describe('certificates by which one root signs for the next, DER in base64'),
  trusted: z.array(z.string()).describe('SHA-256 of the roots that are trusted now, hex, the one that claims pin first'),
})

/** `GET /v1/ca/transitions`: how the roots of the fleet follow one another. Every step of it is signed: nobody need believe the server. */
export function transitionsRoute(app: ApiServer, { authority, suite }: Pick<ApiParts, 'authority' | 'suite'>): void {
  app.get(
    '/v1/ca/transitions',
    {
      config: { access: 'public' },
      schema: { summary: 'How the roots of the fleet follow one another', tags: ['enrolment'], response: { 200: document } },
    },
    () => {
      const { knownRoots, links, trustedRoots } = authority.standing
      const text = ({ der }: { der: Uint8Array }): string => Buffer.from(der).toString('base64')
      return {
        roots: knownRoots.map(text),
        links: links.map(text),
        trusted: trustedRoots.map((root) => rootName(root, suite)),
      }
    },
  )
}
