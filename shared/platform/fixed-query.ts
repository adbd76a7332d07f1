import type { Compilable, CompiledQuery, Kysely } from 'kysely'

/** Where a value goes that each call brings. */
class Place {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

/** Every property is the place of its name. */
const places = new Proxy({}, { get: (_target, name) => new Place(String(name)) })

/**
 * A query whose text is always the same, while its values change: built once, for building one costs more than what SQLite does with most
 * of ours. For what is asked many times a second. The builder sees places where the values will be, so it must not look at them; a value
 * that is compared may not be null.
 */
export class FixedQuery<Tables, Values extends object, Row> {
  readonly #build: (db: Kysely<Tables>, values: Values) => Compilable<Row>
  #compiled: CompiledQuery<Row> | undefined

  constructor(build: (db: Kysely<Tables>, values: Values) => Compilable<Row>) {
    this.#build = build
  }

  async execute(db: Kysely<Tables>, values: Values): Promise<Row[]> {
    this.#compiled ??= this.#build(db, places as Values).compile()
    const parameters = this.#compiled.parameters.map((one) => (one instanceof Place ? values[one.name as keyof Values] : one))
    const { rows } = await db.executeQuery<Row>({ ...this.#compiled, parameters })
    return rows
  }
}
