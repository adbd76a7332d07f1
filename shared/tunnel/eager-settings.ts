import type { IkeSettings } from '#shared/ikev2/ike-context.ts'
import { type Duration, milliseconds, seconds } from '#shared/time/instant.ts'

/** The longest wait for an answer to the first messages, and to those of the two minutes after them. */
const EAGER: { readonly messages: number; readonly wait: Duration } = { messages: 13, wait: seconds(1) }
const CALM: { readonly messages: number; readonly wait: Duration } = { messages: 35, wait: seconds(5) }

/**
 * Settings of an IKE SA that somebody waits for: as in the noise suite, its messages are repeated each second at first, each five seconds
 * after a dozen, and only when nothing has answered for two minutes as rarely as the settings say. `sent`: messages so far; undefined
 * once both ends are authenticated.
 */
export const eagerSettings = (settings: IkeSettings, sent: () => number | undefined): IkeSettings => ({
  ...settings,
  get retryCap(): Duration {
    const count = sent()
    if (count === undefined || count > CALM.messages) return settings.retryCap
    return milliseconds(Math.min(settings.retryCap, count > EAGER.messages ? CALM.wait : EAGER.wait))
  },
})
