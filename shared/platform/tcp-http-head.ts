import type { Socket } from 'node:net'

/** The beginning of an HTTP/1.1 answer. */
export interface ResponseHead {
  readonly status: number
  /** Names in lower case; of repeated ones the first. */
  readonly headers: Readonly<Record<string, string>>
}

/** Longest head taken, bytes: a stranger may answer. */
const headLimit = 16 * 1024

/**
 * Reads an answer's head, and leaves the socket paused with what followed in `rest`. Rejects, and destroys the socket, where none comes in
 * `timeoutMs`, where it is too long, and where it is not HTTP.
 */
export function readHead(socket: Socket, timeoutMs: number): Promise<{ head: ResponseHead; rest: Uint8Array }> {
  return new Promise((resolve, reject) => {
    let kept = Buffer.alloc(0)
    const timer = setTimeout(() => fail(new Error(`no answer within ${timeoutMs / 1_000} s`)), timeoutMs)
    const stop = (): void => {
      clearTimeout(timer)
      socket.off('data', take)
      socket.off('error', fail)
      socket.off('close', ended)
      socket.pause()
    }
    const fail = (error: Error): void => {
      stop()
      // It may still report what it dies of.
      socket.on('error', () => {})
      socket.destroy()
      reject(error)
    }
    const ended = (): void => fail(new Error('the connection ended without an answer'))
    const take = (chunk: Buffer): void => {
      kept = Buffer.concat([kept, chunk])
      const end = kept.indexOf('\r\n\r\n')
      if (end < 0) {
        if (kept.length > headLimit || !looksLikeHttp(kept)) fail(new Error('the answer is not HTTP'))
        return
      }
      const head = parseHead(kept.subarray(0, end).toString('latin1'))
      if (head === undefined) {
        fail(new Error('the answer is not HTTP'))
        return
      }
      stop()
      resolve({ head, rest: new Uint8Array(kept.subarray(end + 4)) })
    }
    socket.on('data', take)
    socket.on('error', fail)
    socket.on('close', ended)
    socket.resume()
  })
}

const looksLikeHttp = (bytes: Buffer): boolean => 'HTTP/1.'.startsWith(bytes.subarray(0, 7).toString('latin1'))

function parseHead(text: string): ResponseHead | undefined {
  const [first = '', ...lines] = text.split('\r\n')
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1]
  if (status === undefined) return undefined
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (name !== undefined) headers[name.toLowerCase()] ??= value ?? ''
  }
  return { status: Number(status), headers }
}
