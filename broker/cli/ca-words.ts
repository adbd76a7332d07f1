/** What `ca.status` answers, as far as a person is told. */
export interface CaStatus {
  readonly root: {
    readonly fingerprint: string
    readonly until: string
    readonly key: 'here' | 'offline'
    readonly trusted: readonly string[]
    /** Its list of revoked CAs. */
    readonly list: { readonly since: string; readonly until: string; readonly revoked: number } | null
    readonly predecessors: number
  }
  readonly authorities: readonly {
    readonly role: string
    readonly name: string
    readonly issues: boolean
    readonly word: string
    readonly until: string
    readonly holders: number
    readonly asleep: number
  }[]
  readonly rotation: { readonly line: string; readonly phase: string; readonly since: string; readonly behind: number } | null
  readonly waiting: { readonly line: string } | null
  readonly advice: readonly string[]
  readonly due: boolean
}

const words: Record<string, string> = { full: 'trusted', renews: 'retired: may renew', nothing: 'not trusted' }

export function caWords({ root, authorities, rotation, waiting, advice }: CaStatus): string {
  const key = root.key === 'here' ? 'its key is here' : 'its key is offline'
  const lines = [`root          until ${root.until}  ${key}`, `              SHA-256 ${root.fingerprint}`]
  const { list } = root
  lines.push(
    list ? `              list of ${list.revoked} revoked CAs, until ${list.until}` : '              no list of revoked CAs',
  )
  for (const other of root.trusted.slice(1)) lines.push(`              also trusted ${other}`)
  for (const { name, issues, word, until, holders, asleep } of authorities) {
    const held = holders > 0 ? `, ${holders} hold${asleep > 0 ? ` (${asleep} asleep)` : ''}` : ''
    lines.push(`${name.padEnd(18)}  until ${until}  ${issues ? 'issues' : words[word]}${held}`)
  }
  if (rotation) lines.push(`rotation of ${rotation.line}: ${rotation.phase} since ${rotation.since}, ${rotation.behind} behind`)
  if (waiting) lines.push(`a request for ${waiting.line} waits for its answer: adit-broker ca install FILE`)
  lines.push(...advice.map((text) => `-> ${text}`))
  if (advice.length === 0) lines.push('Nothing need be done.')
  return `${lines.join('\n')}\n`
}
