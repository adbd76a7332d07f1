import type { StoreContext } from './store-context.ts'

/** Small facts that outlive a run, by key. */
export class SettingStore {
  readonly #db: StoreContext['db']

  constructor({ db }: Pick<StoreContext, 'db'>) {
    this.#db = db
  }

  async get(key: string): Promise<string | undefined> {
    const row = await this.#db.selectFrom('settings').select('value').where('key', '=', key).executeTakeFirst()
    return row?.value
  }

  async set(key: string, value: string): Promise<void> {
    await this.#db
      .insertInto('settings')
      .values({ key, value })
      .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
      .execute()
  }
}
