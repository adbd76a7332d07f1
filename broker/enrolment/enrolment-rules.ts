/** What the configuration says about enrolment. */
export interface EnrolmentRules {
  /** Requests that may wait for a person at once. */
  readonly queue: number
  /** After how many seconds whoever waits is to ask again. */
  readonly retryAfter: number
  /** Who has the last word; left out: nobody. */
  readonly hook?: HookPlace | undefined
}

export interface HookPlace {
  /** Absolute path of a program, or an `https:` URL. */
  readonly place: string
  /** PEM file of the CAs that may have certified the service; left out: the system's. */
  readonly ca?: string | undefined
}

export const standardRules: EnrolmentRules = { queue: 1_000, retryAfter: 30 }
