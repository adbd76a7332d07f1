import { PowerCut } from '#test/agent/station/ways/fat-card.ts'

/** The power of one machine. Whatever is `wired` to it answers nobody once it is gone: what was under way may be done, and is not told. */
export class Power {
  #on = true
  readonly #onCut: () => void

  constructor(onCut: () => void = () => {}) {
    this.#onCut = onCut
  }

  get on(): boolean {
    return this.#on
  }

  cut(): void {
    if (!this.#on) return
    this.#on = false
    this.#onCut()
  }

  /** Every method of it, asked and answered, is a moment at which the power may go: at the given one it does. */
  wired<Thing extends object>(thing: Thing, cutAt = Number.POSITIVE_INFINITY): Thing {
    let moments = 0
    const moment = (): void => {
      moments += 1
      if (moments === cutAt) this.cut()
      if (!this.#on) throw new PowerCut('the power is gone')
    }
    return new Proxy(thing, {
      get: (target, key) => {
        const member: unknown = Reflect.get(target, key, target)
        if (typeof member !== 'function') return member
        return (...words: unknown[]): unknown => {
          moment()
          const answer: unknown = member.apply(target, words)
          if (!(answer instanceof Promise)) return answer
          return answer.then((value) => {
            moment()
            return value
          })
        }
      },
    })
  }
}
