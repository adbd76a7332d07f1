/** A serial port, or what stands for one in a test. */
export interface Wire {
  /** ASCII. */
  write(text: string): void
  onData(listener: (bytes: Uint8Array) => void): void
  /** The cable was pulled, or the port closed. */
  onEnd(listener: () => void): void
  close(): Promise<void>
}
