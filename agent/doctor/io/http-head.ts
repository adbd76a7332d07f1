import type { Duplex } from 'node:stream'

export interface HttpHead {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
}

/** Longest head that is read, bytes. */
const headLimit = 16 * 1024

/** Writes a request and reads the head of its answer; undefined where none comes that is HTTP. */
export function readHead(stream: Duplex, request: string, patienceMs: number): Promise<HttpHead | undefined> {
  return new Promise((resolve) => {
    let text = ''
    const end = (head?: HttpHead): void => {
      clearTimeout(timer)
      stream.off('data', take)
      resolve(head)
    }
    const take = (bytes: Buffer): void => {
      text += bytes.toString('latin1')
      const length = text.indexOf('\r\n\r\n')
      if (length >= 0) end(headOf(text.slice(0, length)))
      else if (text.length > headLimit) end()
    }
    const timer = setTimeout(end, patienceMs)
    stream.on('data', take)
    stream.once('error', () => end())
    stream.once('close', () => end())
    stream.write(request)
  })
}

function headOf(text: string): HttpHead | undefined {
  const [first = '', ...lines] = text.split('\r\n')
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1])
  if (!Number.isInteger(status)) return undefined
  const headers = lines.map((line) => [line.split(':', 1)[0]!.toLowerCase(), line.slice(line.indexOf(':') + 1).trim()])
  return { status, headers: Object.fromEntries(headers) }
}
