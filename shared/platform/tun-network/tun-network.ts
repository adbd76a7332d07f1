import { access, readFile } from 'node:fs/promises'
import { AditError } from '#shared/errors.ts'
import type { Log } from '../log.ts'
import { Mutex } from '../mutex.ts'
import { InnerDns } from './inner-dns.ts'
import { Ip } from './ip-command.ts'
import { Ledger } from './ledger.ts'
import { type MachineView, presentKeys, undoLines, viewMachine } from './machine-view.ts'
import { overlapOf } from './overlap.ts'
import { difference, type Ipv6Support, PROTOCOL, RULE, type Setting, settingsOf } from './setting.ts'
import { checkedPlan, families, familyOf, type TunPlan } from './tun-plan.ts'

export interface TunNetworkOptions {
  /** The state folder, for the ledger; the caller holds its lock. */
  readonly folder: string
  readonly log: Log
  /** For tests. Default: /etc/resolv.conf. */
  readonly resolvConf?: string
  /** For tests. Defaults: `ip` and `resolvectl`, found in the PATH. */
  readonly programs?: { readonly ip?: string; readonly resolvectl?: string }
}

/** Another program may change the network between our look and our line; then we look again. */
const UNDO_TRIES = 3

/** Addresses, MTU, routes, and with `all` rules and name servers of one tunnel's interface: made, changed and taken back. */
export class TunNetwork {
  readonly #tools: Tools
  readonly #turn = new Mutex()
  #plan: TunPlan
  /** What we have made and not taken back, in order. */
  #present: Setting[] = []
  #over = false

  /**
   * Makes the machine's network as `plan` says, the interface being there already. On any failure nothing of it stays. Throws AditError:
   * `config-invalid`, `network-overlap`, `permission-missing`, `network-failed`, `storage-failed`.
   */
  static async apply(plan: TunPlan, options: TunNetworkOptions): Promise<TunNetwork> {
    const checked = checkedPlan(plan)
    await TunNetwork.recover(options)
    const network = new TunNetwork(checked, options)
    try {
      await network.#become(checked)
    } catch (error) {
      await network.undo().catch((second) => options.log.warn({ code: second.code }, second.message))
      throw error
    }
    return network
  }

  /** Undoes what a killed run has left behind; whether there was any. To be called at every start, with a tunnel or without. */
  static async recover(options: TunNetworkOptions): Promise<boolean> {
    const tools = toolsOf(options)
    const entry = await tools.ledger.read()
    if (entry === undefined) return false
    await undoAll(tools)
    options.log.info({ interface: entry.name }, 'the network settings that an earlier run has left behind are undone')
    return true
  }

  private constructor(plan: TunPlan, options: TunNetworkOptions) {
    this.#plan = plan
    this.#tools = toolsOf(options)
  }

  /** Makes `plan` of what is there, of which all that both have in common stays untouched. The name stays. After a failure: call it again. */
  async change(plan: TunPlan): Promise<void> {
    const checked = checkedPlan(plan)
    if (checked.name !== this.#plan.name) throw new RangeError('another interface needs another TunNetwork')
    await this.#alone(() => this.#become(checked))
  }

  /** Makes again what other programs have taken away since: to be called when the machine's network has changed. Cheap where nothing is amiss. */
  async renew(): Promise<void> {
    await this.#alone(async () => {
      const view = await viewMachine(this.#tools.ip)
      const overlap = overlapOf(this.#plan, view)
      if (overlap !== undefined) this.#tools.log.warn({ code: overlap.code }, `${overlap.message} ${overlap.mend}`)
      const keys = presentKeys(view, this.#plan.name)
      const there = this.#present.filter(({ key }) => key !== undefined && keys.has(key))
      const lost = this.#present.filter(({ key }) => key !== undefined && !keys.has(key))
      if (lost.length > 0) {
        const lines = lost.map(({ add }) => add)
        this.#tools.log.warn({ lines }, 'another program has taken away network settings of the tunnel: they are made again')
      }
      this.#present = there
      await this.#move(settingsOf(this.#plan, await ipv6Support(this.#plan)))
      if (this.#plan.all !== undefined) await this.#tools.dns.force(this.#plan.name, this.#plan.all.dns)
    })
  }

  /** Takes everything back. Calling it again is harmless; so is that the interface is gone already. */
  async undo(): Promise<void> {
    await this.#alone(async () => {
      const { ip, ledger } = this.#tools
      if ((await ledger.read()) !== undefined) await undoAll(this.#tools)
      // Its routes go with that; where it has gone itself, all has.
      await ip.batch(undefined, [`link set dev ${this.#plan.name} down`, `address flush dev ${this.#plan.name}`])
      this.#over = true
    })
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    const leave = await this.#turn.enter()
    try {
      if (!this.#over) await work()
    } finally {
      leave()
    }
  }

  async #become(plan: TunPlan): Promise<void> {
    const { ip, ledger, dns, log } = this.#tools
    const view = await viewMachine(ip)
    const overlap = overlapOf(this.#present.length === 0 ? plan : addition(this.#plan, plan), view)
    if (overlap !== undefined) throw overlap
    const ipv6 = await ipv6Support(plan)
    if (!ipv6.inside) tellOfIpv6(plan, log)
    const entry = await ledger.read()
    if (plan.all !== undefined && entry === undefined) {
      refuseOtherRules(view)
      await ledger.write({ version: 1, name: plan.name })
    }
    await this.#move(settingsOf(plan, ipv6))
    if (plan.all !== undefined) await dns.force(plan.name, plan.all.dns)
    else if (entry !== undefined) await undoAll(this.#tools)
    this.#plan = plan
  }

  /** From what is present to what is wanted; `#present` stays true wherever it fails. */
  async #move(wanted: readonly Setting[]): Promise<void> {
    const { add, remove } = difference(this.#present, wanted)
    await this.#run(
      add,
      (setting) => setting.add,
      (setting) => this.#present.push(setting),
    )
    await this.#run(
      remove,
      (setting) => setting.remove,
      (setting) => {
        this.#present = this.#present.filter((one) => one !== setting)
      },
    )
  }

  /** One process for each run of lines that need the same address family. */
  async #run(
    settings: Setting[],
    lineOf: (setting: Setting) => string | undefined,
    done: (setting: Setting) => void,
  ): Promise<void> {
    for (const setting of settings.filter((one) => lineOf(one) === undefined)) done(setting)
    const left = settings.filter((one) => lineOf(one) !== undefined)
    while (left.length > 0) {
      const { family } = left[0]!
      const end = left.findIndex((setting) => setting.family !== family)
      const part = left.splice(0, end < 0 ? left.length : end)
      const result = await this.#tools.ip.batch(
        family,
        part.map((setting) => lineOf(setting)!),
      )
      for (const setting of part.slice(0, result.done)) done(setting)
      if (result.error !== undefined) throw result.error
    }
  }
}

interface Tools {
  readonly ip: Ip
  readonly ledger: Ledger
  readonly dns: InnerDns
  readonly log: Log
}

function toolsOf({ folder, log, resolvConf, programs }: TunNetworkOptions): Tools {
  const ledger = new Ledger(folder)
  return {
    ip: new Ip(programs?.ip),
    ledger,
    dns: new InnerDns({ ledger, log, resolvConf, resolvectl: programs?.resolvectl }),
    log,
  }
}

/** Rules, our table and name servers back; the ledger last. One that fails keeps no other from being undone, and keeps the ledger. */
async function undoAll({ ip, ledger, dns }: Tools): Promise<void> {
  const entry = await ledger.read()
  if (entry === undefined) return
  const failures: unknown[] = []
  await undoRules(ip).catch((error) => failures.push(error))
  await dns.release(entry.name, entry.resolvConf).catch((error) => failures.push(error))
  if (failures.length > 0) throw failures[0]
  await ledger.remove()
}

async function undoRules(ip: Ip): Promise<void> {
  for (let tries = 1; ; tries++) {
    const view = await viewMachine(ip)
    const results = await Promise.all(families.map((family) => ip.batch(family, undoLines(view, family))))
    const error = results.find((result) => result.error !== undefined)?.error
    if (error === undefined) return
    if (tries === UNDO_TRIES || error.code !== 'network-failed') throw error
  }
}

/** What `to` has beyond `from`: a network that this machine has come into meanwhile must not keep the rest of a plan from changing. */
function addition(from: TunPlan, to: TunPlan): TunPlan {
  return {
    ...to,
    addresses: to.addresses.filter((address) => !from.addresses.includes(address)),
    routes: to.routes.filter((route) => !from.routes.includes(route)),
  }
}

/** Rules in our range that no ledger of ours knows of. */
function refuseOtherRules(view: MachineView): void {
  if (view.rules.length === 0) return
  const what = `Policy rules ${RULE.outside} to ${RULE.end} are there already: of another tunnel that takes all traffic`
  const flush = families.map((family) => `ip -${family} rule flush protocol ${PROTOCOL}`).join('; ')
  throw new AditError(
    'network-failed',
    `${what}, or of one that was killed and whose state folder is gone.`,
    `End the other one; if there is none, run: ${flush}`,
  )
}

/** An interface without IPv6 serves where the plan has IPv4. */
function tellOfIpv6(plan: TunPlan, log: Log): void {
  if (!plan.addresses.some((address) => familyOf(address) === '6')) return
  const four = plan.addresses.some((address) => familyOf(address) === '4')
  if (four) log.warn({ interface: plan.name }, 'IPv6 is switched off on the tunnel interface: it has IPv4 only')
  else {
    const mend = 'Run: sysctl -w net.ipv6.conf.default.disable_ipv6=0'
    throw new AditError('network-failed', 'The tunnel has IPv6 addresses only, and IPv6 is switched off on its interface.', mend)
  }
}

async function ipv6Support({ name }: TunPlan): Promise<Ipv6Support> {
  const settings = '/proc/sys/net/ipv6/conf'
  const outside = await access(settings).then(
    () => true,
    () => false,
  )
  // Of an interface that is not there, the first line of the batch speaks better than we could.
  const disabled = await readFile(`${settings}/${name}/disable_ipv6`, 'utf8').catch(() => (outside ? '0' : '1'))
  return { outside, inside: disabled.trim() === '0' }
}
