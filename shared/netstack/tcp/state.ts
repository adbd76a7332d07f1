/** Connection states, RFC 9293 §3.3.2. LISTEN is a TcpListener, TIME-WAIT a record of its own. Ordered: see `isSynchronized`. */
export const TcpState = {
  Closed: 0,
  SynSent: 1,
  SynReceived: 2,
  Established: 3,
  FinWait1: 4,
  FinWait2: 5,
  CloseWait: 6,
  Closing: 7,
  LastAck: 8,
} as const

export type TcpState = (typeof TcpState)[keyof typeof TcpState]

export const isSynchronized = (state: TcpState): boolean => state >= TcpState.Established

/** Whether the peer may still send data. */
export const mayReceive = (state: TcpState): boolean => state >= TcpState.Established && state <= TcpState.FinWait2

/** Whether data of ours may still be sent or retransmitted. */
export const maySend = (state: TcpState): boolean => state >= TcpState.Established && state !== TcpState.FinWait2
