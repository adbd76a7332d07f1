import { type Duration, type Instant, minutes } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { Dependence } from '#sim/nat-box.ts'

/** What a stateful firewall remembers: whom its inside has spoken to, and so who may answer (RFC 4787 §5, without a translation). */
export class FlowMemory {
  readonly filtering: Dependence
  readonly #timeout: Duration
  readonly #last = new Map<string, Instant>()

  constructor(filtering: Dependence, timeout: Duration = minutes(2)) {
    this.filtering = filtering
    this.#timeout = timeout
  }

  went(inside: Endpoint, remote: Endpoint, now: Instant): void {
    this.#last.set(this.#key(inside, remote), now)
  }

  mayCome(inside: Endpoint, remote: Endpoint, now: Instant): boolean {
    const last = this.#last.get(this.#key(inside, remote))
    return last !== undefined && now - last < this.#timeout
  }

  forget(): void {
    this.#last.clear()
  }

  #key(inside: Endpoint, remote: Endpoint): string {
    const own = `${inside.address} ${inside.port}`
    if (this.filtering === 'endpoint-independent') return own
    return this.filtering === 'address-dependent' ? `${own} ${remote.address}` : `${own} ${remote.address} ${remote.port}`
  }
}
