import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { type PairPage, pairPage, pairScript, pairStyle } from '#broker/api/pair-page.ts'
import { longestLabelUrl, readLabelFields } from '#shared/enrolment/label-fields.ts'

/** `GET /pair`: where the QR code of a unit's label leads. */
export function pairRoute(app: ApiServer, { suite }: Pick<ApiParts, 'suite'>): void {
  const source = (text: string): string =>
    `'sha256-${Buffer.from(suite.hash('sha256', Buffer.from(text, 'utf8'))).toString('base64')}'`
  // This script and this style, and nothing from anywhere: also not what might come into the page by mistake.
  const policy = [
    "default-src 'none'",
    `script-src ${source(pairScript)}`,
    `style-src ${source(pairStyle)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
  app.get(
    '/pair',
    { config: { access: 'public' }, schema: { summary: "The page behind a label's QR code", tags: ['stations'] } },
    (request, reply) => {
      const page = pageOf(request.url)
      return reply
        .code(page.kind === 'refused' ? 400 : 200)
        .headers({ 'content-security-policy': policy, 'cache-control': 'no-store' })
        .type('text/html; charset=utf-8')
        .send(pairPage(page))
    },
  )
}

function pageOf(url: string): PairPage {
  const at = url.indexOf('?')
  if (url.length > longestLabelUrl) return { kind: 'refused' }
  if (at < 0) return { kind: 'fragment' }
  const label = readLabelFields(url.slice(at + 1))
  return label ? { kind: 'label', label } : { kind: 'refused' }
}
