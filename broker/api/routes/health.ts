import { z } from 'zod'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'

const health = z.object({ status: z.literal('ok'), version: z.string() })

/** `GET /healthz`: the process serves. */
export function healthRoute(app: ApiServer, { settings }: ApiParts): void {
  app.get(
    '/healthz',
    { config: { access: 'public' }, schema: { summary: 'Is the broker alive?', tags: ['health'], response: { 200: health } } },
    () => ({ status: 'ok' as const, version: settings.version }),
  )
}
