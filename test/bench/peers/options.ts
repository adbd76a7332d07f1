import { parseArgs } from 'node:util'

export interface Options {
  /** The contenders that are wanted; undefined: all. */
  readonly peers: readonly string[] | undefined
  readonly runs: number
  /** Of each stream. */
  readonly seconds: number
  readonly json: boolean
}

const usage = 'Usage: make bench-peers [PEERS=veth,wireguard-go,…] [RUNS=5] [SECONDS=4] [ARGS=--json]'

/** From the command line; `names` are those of all contenders. Throws a sentence. */
export function optionsFrom(words: readonly string[], names: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: {
      peers: { type: 'string' },
      runs: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      json: { type: 'boolean', default: false },
    },
  })
  const peers = values.peers?.split(/[\s,]+/).filter((name) => name !== '')
  const stranger = peers?.find((name) => !names.includes(name))
  if (stranger !== undefined) throw new Error(`There is no contender ${stranger}; there are ${names.join(', ')}. ${usage}`)
  return {
    peers,
    runs: whole('RUNS', values.runs, 1),
    // Shorter ones would be over before the pings beside them.
    seconds: whole('SECONDS', values.seconds, 2),
    json: values.json,
  }
}

function whole(what: string, given: string, least: number): number {
  const value = Number(given)
  if (!Number.isInteger(value) || value < least) throw new Error(`${what} must be a whole number from ${least} on. ${usage}`)
  return value
}
