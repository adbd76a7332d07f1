/** Why a connection failed, in the codes that Node's own sockets use, so that libraries above recognise them. */
export type TcpErrorCode =
  | 'ECONNREFUSED'
  | 'ECONNRESET'
  | 'ECONNABORTED'
  | 'ETIMEDOUT'
  | 'EHOSTUNREACH'
  | 'ENETUNREACH'
  | 'EADDRINUSE'
  | 'EADDRNOTAVAIL'
  | 'EMSGSIZE'
  | 'ENOBUFS'
  | 'EPIPE'

const sentences: Record<TcpErrorCode, string> = {
  ECONNREFUSED: 'the peer has no listener on this port',
  ECONNRESET: 'the peer reset the connection',
  ECONNABORTED: 'the connection was aborted on this side',
  ETIMEDOUT: 'the peer did not answer in time',
  EHOSTUNREACH: 'the peer cannot be reached',
  ENETUNREACH: 'no local address can reach the peer',
  EADDRINUSE: 'the port is taken',
  EADDRNOTAVAIL: 'the address is not one of ours, or no port is free',
  EMSGSIZE: 'the datagram is larger than fits',
  ENOBUFS: 'the stack has as many connections as its limits allow',
  EPIPE: 'this side of the connection is closed',
}

export class TcpError extends Error {
  override readonly name = 'TcpError'
  readonly code: TcpErrorCode

  constructor(code: TcpErrorCode, where = '') {
    super(where === '' ? `${code}: ${sentences[code]}` : `${code}: ${sentences[code]} (${where})`)
    this.code = code
  }
}
