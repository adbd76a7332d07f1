/** Small facts that outlive a run, by key. */
export declare class SettingStore {
  get(key: string): Promise<string | undefined>
  set(key: string, value: string): Promise<void>
}
