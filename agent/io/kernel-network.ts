import type { AgentConfig } from '#agent/core/agent-config.ts'
import { toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import { TunNetwork } from '#shared/platform/tun-network/tun-network.ts'
import type { TunPlan } from '#shared/platform/tun-network/tun-plan.ts'

export interface KernelNetworkOptions {
  /** The interface, which is there. */
  readonly name: string
  /** The state folder. */
  readonly folder: string
  readonly log: Log
  /** Everything goes into the tunnel, names are asked there; undefined: the fleet's networks alone. */
  readonly all: { readonly dns: readonly string[] } | undefined
}

/** Addresses, MTU and routes of the TUN, as the tunnel's configuration and its path say; one change at a time. */
export class KernelNetwork {
  readonly #options: KernelNetworkOptions
  #network: TunNetwork | undefined
  #config: AgentConfig | undefined
  #outside: readonly string[] = []
  #mtu = 1_280
  #made = ''
  #work: Promise<void> = Promise.resolve()
  #error: string | undefined
  #closed = false

  constructor(options: KernelNetworkOptions) {
    this.#options = options
  }

  /** Why the machine's network is not as it should be; undefined: it is. */
  get error(): string | undefined {
    return this.#error
  }

  /**
   * A first or a changed configuration, or other addresses: `outside` are literals that must be reached outside the tunnel, since it comes
   * to be by them.
   */
  configure(config: AgentConfig, outside: readonly string[]): void {
    this.#config = config
    this.#outside = outside
    this.#update()
  }

  resize(mtu: number): void {
    this.#mtu = Math.max(1_280, mtu)
    this.#update()
  }

  /** The machine's network has changed: what other programs have taken away is made again, and what could not be made is tried again. */
  renew(): void {
    if (this.#error === undefined) this.#queue(async () => this.#network?.renew())
    else {
      this.#made = ''
      this.#update()
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#work
    await this.#network?.undo().catch((error) => this.#failed(error))
  }

  #update(): void {
    const config = this.#config
    if (config === undefined || this.#closed) return
    const plan = this.#plan(config)
    const text = JSON.stringify(plan)
    if (text === this.#made) return
    this.#made = text
    this.#queue(() => this.#become(plan))
  }

  /** Where the machine is in a network that the fleet has too, as behind many a modem, IPv6 serves alone: every device has both. */
  async #become(plan: TunPlan): Promise<void> {
    try {
      await this.#make(plan)
    } catch (error) {
      const less = withoutIpv4(plan)
      if (toAditError(error).code !== 'network-overlap' || less.addresses.length === 0) throw error
      await this.#make(less)
      throw error
    }
  }

  async #make(plan: TunPlan): Promise<void> {
    if (this.#network) await this.#network.change(plan)
    else this.#network = await TunNetwork.apply(plan, this.#options)
  }

  #plan({ inner, routes }: AgentConfig): TunPlan {
    const { name, all } = this.#options
    const common = { name, addresses: inner.addresses, mtu: this.#mtu, routes }
    return all === undefined ? common : { ...common, all: { outside: this.#outside, dns: all.dns } }
  }

  #queue(work: () => Promise<void>): void {
    this.#work = this.#work.then(async () => {
      if (this.#closed) return
      try {
        await work()
        this.#error = undefined
      } catch (error) {
        this.#failed(error)
      }
    })
  }

  /** The tunnel itself goes on; the next change tries again. */
  #failed(error: unknown): void {
    const { code, message, mend } = toAditError(error)
    this.#made = ''
    if (this.#error !== message) this.#options.log.error({ code }, `${message} ${mend}`)
    this.#error = message
  }
}

function withoutIpv4(plan: TunPlan): TunPlan {
  const six = (texts: readonly string[]): string[] => texts.filter((text) => text.includes(':'))
  return { ...plan, addresses: six(plan.addresses), routes: six(plan.routes) }
}
