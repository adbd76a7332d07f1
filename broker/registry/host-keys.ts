export interface HostKeys {
  readonly service: string
  /** OpenSSH public key lines, as pinned. */
  readonly keys: readonly string[]
  readonly pinnedAt: number
  /** What the device last reported instead, awaiting a person's word. */
  readonly offered?: { readonly keys: readonly string[]; readonly at: number }
}

export declare class HostKeyStore {
  /** The first report is pinned; a report of pinned keys only is the same; any unknown key is a change, kept aside until accepted. */
  report(deviceId: number, service: string, keys: readonly string[]): Promise<'pinned' | 'same' | 'changed'>
  of(deviceId: number): Promise<HostKeys[]>
  /** Pins what was offered, of every service unless one is named. Throws AditError `not-found` where nothing was offered. */
  accept(deviceId: number, service?: string): Promise<HostKeys[]>
}
