import type { FastifyInstance } from 'fastify'

/** Which methods each path of the API takes, gathered as routes are made: who uses another one is told so (RFC 9110 §15.5.6). */
export class KnownPaths {
  /** By a pattern of Fastify's: `/v1/devices/:name/why`, `*` at its end for everything below. */
  readonly #methods = new Map<string, Set<string>>()

  constructor(app: Pick<FastifyInstance, 'addHook'>) {
    app.addHook('onRoute', ({ url, method }) => {
      const methods = this.#methods.get(url) ?? new Set()
      for (const one of [method].flat()) methods.add(one)
      this.#methods.set(url, methods)
    })
  }

  /** Sorted; empty where there is nothing at this path at all. */
  methodsAt(path: string): string[] {
    const at = [...this.#methods].filter(([pattern]) => matches(pattern, path)).flatMap(([, methods]) => [...methods])
    return [...new Set(at)].sort()
  }
}

function matches(pattern: string, path: string): boolean {
  const [wanted, given] = [pattern.split('/'), path.split('/')]
  if (wanted.at(-1) === '*') return given.length >= wanted.length && matchesAll(wanted.slice(0, -1), given)
  return wanted.length === given.length && matchesAll(wanted, given)
}

const matchesAll = (wanted: readonly string[], given: readonly string[]): boolean =>
  wanted.every((part, at) => (part.startsWith(':') ? given[at] !== '' : part === given[at]))
