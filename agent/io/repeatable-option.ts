import { Option } from 'commander'

/** An option that may be given again and again; none: an empty list. */
export const repeatable = (flags: string, description: string): Option =>
  new Option(flags, `${description}; repeatable`)
    .argParser((value: string, before: string[]) => [...before, value])
    .default([], 'none')
