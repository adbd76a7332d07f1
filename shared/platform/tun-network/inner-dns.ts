import type { Log } from '../log.ts'
import type { Ledger, LedgerEntry, ResolvConfBackup } from './ledger.ts'
import { contentAt, isOurs, lookAt, nameServersOf, putBack, replaceResolvConf, resolvConfOf } from './resolv-conf.ts'
import { Resolved, stubServers } from './resolved.ts'

export interface InnerDnsOptions {
  readonly ledger: Ledger
  readonly log: Log
  /** Default: /etc/resolv.conf. */
  readonly resolvConf?: string | undefined
  /** Default: resolvectl. */
  readonly resolvectl?: string | undefined
}

/**
 * Names are asked inside the tunnel and nowhere else: by systemd-resolved where it runs, and by /etc/resolv.conf unless that names only
 * systemd-resolved. The former's settings vanish with the interface; the latter's are in the ledger before they are made.
 */
export class InnerDns {
  readonly #options: InnerDnsOptions
  readonly #path: string
  readonly #resolved: Resolved
  #isLackTold = false

  constructor(options: InnerDnsOptions) {
    this.#options = options
    this.#path = options.resolvConf ?? '/etc/resolv.conf'
    this.#resolved = new Resolved(options.resolvectl)
  }

  /** Also where it has been done before: whoever has replaced the file meanwhile finds their version again afterwards. */
  async force(name: string, servers: readonly string[]): Promise<void> {
    const { ledger, log } = this.#options
    if (servers.length === 0) {
      if (!this.#isLackTold) log.warn('no name server inside the tunnel is known: names are asked outside, as before')
      this.#isLackTold = true
      return
    }
    const works = await this.#resolved.works()
    if (works) await this.#resolved.force(name, servers)
    const asked = nameServersOf(await contentAt(this.#path))
    if (works && asked.length > 0 && asked.every((server) => stubServers.includes(server))) return
    const entry: LedgerEntry = (await ledger.read()) ?? { version: 1, name }
    const now = await lookAt(this.#path)
    const known = entry.resolvConf?.path === this.#path ? entry.resolvConf : undefined
    const content = resolvConfOf(servers)
    if (known !== undefined && isOurs(now, [content])) return
    const before = known !== undefined && isOurs(now, known.ours) ? known.before : now
    await ledger.write({ ...entry, resolvConf: { path: this.#path, before, ours: unique([...(known?.ours ?? []), content]) } })
    await replaceResolvConf(this.#path, content)
  }

  /** Takes back what `force` did; `backup` as the ledger has it. */
  async release(name: string, backup: ResolvConfBackup | undefined): Promise<void> {
    await this.#resolved.revert(name)
    if (backup === undefined || (await putBack(backup)) === 'put-back') return
    this.#options.log.warn({ path: backup.path }, 'another program has replaced this file meanwhile: it stays as it is now')
  }
}

const unique = (texts: readonly string[]): string[] => [...new Set(texts)]
