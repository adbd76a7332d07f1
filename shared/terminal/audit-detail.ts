const timeKey = /(?:^until|At|After|Before|Expires)$/

/** The detail of an audit row for a person's table: `KEY=VALUE KEY=VALUE`, moments (ms since 1970) as ISO 8601. */
export const auditDetail = (detail: Readonly<Record<string, unknown>>): string =>
  Object.entries(detail)
    .map(([key, value]) => `${key}=${valueText(key, value)}`)
    .join(' ')

function valueText(key: string, value: unknown): string {
  if (typeof value === 'number' && timeKey.test(key) && Math.abs(value) <= latestMs) return new Date(value).toISOString()
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Of a Date (ECMAScript §21.4.1.1). */
const latestMs = 8.64e15
