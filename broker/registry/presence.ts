export interface EndpointRecord {
  readonly principalId: number
  /** "address:port" or "[address]:port": where its datagrams came from. */
  readonly endpoint: string
  /** Wall-clock ms of the last authentic packet. */
  readonly lastAuthentic: number
  /** Wall-clock ms since when it has been up without a break. */
  readonly upSince: number
}

export interface TimestampRecord {
  /** 64 hex digits. */
  readonly tunnelKey: string
  /** The last TAI64N taken from it: 12 bytes. */
  readonly timestamp: Uint8Array
}

/** What the gateway must know again after a restart. Every save resolves after its commit; many share one. */
export declare class PresenceStore {
  saveEndpoints(records: readonly EndpointRecord[]): Promise<void>
  loadEndpoints(): Promise<EndpointRecord[]>
  /** A smaller timestamp never replaces a greater one. */
  saveTimestamps(records: readonly TimestampRecord[]): Promise<void>
  loadTimestamps(): Promise<TimestampRecord[]>
}
