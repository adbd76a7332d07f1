import type { Hook, HookQuestion } from '#broker/enrolment/hook.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Wish } from '#broker/registry/right.ts'
import { isAditError } from '#shared/errors.ts'

export interface LastWordParts {
  readonly registry: Pick<Registry, 'audit'>
  /** Left out: nobody has the last word beside the right itself. */
  readonly hook?: Hook | undefined
}

/** The hook's word on whoever is about to become somebody, whichever way it comes; a refusal is in the audit log before it is told. */
export class LastWord {
  readonly #parts: LastWordParts

  constructor({ registry, hook }: LastWordParts) {
    this.#parts = { registry, hook }
  }

  /** Undefined where there is no hook. Throws AditError `enrolment-denied` or `hook-failed`. */
  async on(question: Omit<HookQuestion, 'v'>): Promise<Wish | undefined> {
    const { hook, registry } = this.#parts
    if (hook === undefined) return undefined
    const { right, key, address } = question
    try {
      return await hook.ask({ v: 1, ...question })
    } catch (error) {
      if (isAditError(error)) {
        const reason = error.cause instanceof Error ? error.cause.message : error.message
        const action = error.code === 'enrolment-denied' ? 'enrolment.hook-denied' : 'enrolment.hook-failed'
        await registry.audit.append({ actor: right, action, subject: `key:${key}`, detail: { reason, from: address } })
      }
      throw error
    }
  }
}
