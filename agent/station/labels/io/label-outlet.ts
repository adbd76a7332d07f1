import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { AditError } from '#shared/errors.ts'
import { writeDurably } from '#shared/platform/files.ts'

/** Where ready labels go. */
export interface LabelOutlet {
  /** `bytes`: one label, whole. Throws AditError `printer-failed` or what writing a file throws. */
  put(bytes: Uint8Array): Promise<void>
}

/** The first of FILE, FILE-2, FILE-3 … that is not there: sheets of another run are not written over. */
export function freePath(path: string): string {
  const [, stem, ending] = /^(.*)(\.[^.]+)$/.exec(path)!
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? path : `${stem}-${n}${ending}`
    if (!existsSync(candidate)) return candidate
  }
}

/** Labels hold no secret. */
export const writeLabels = (path: string, bytes: Uint8Array): Promise<void> => writeDurably(path, bytes, { mode: 0o644 })

const printerPort = 9_100
/** How long a printer may take a label, ms: one that is out of paper takes none. */
const patienceMs = 10_000

/** A label printer on the network, which takes raw ZPL (what JetDirect calls port 9100). */
export function printerOutlet(place: string): LabelOutlet {
  const [, bracketed, host = bracketed, port] = /^(?:\[([0-9a-f:.]+)\]|([^:\s]+))(?::(\d{1,5}))?$/i.exec(place) ?? []
  if (host === undefined) throw new AditError('usage', `"${place}" is no place of a printer.`, 'Write HOST or HOST:PORT.')
  return { put: (bytes) => sendTo(host, port === undefined ? printerPort : Number(port), bytes) }
}

function sendTo(host: string, port: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      socket.destroy()
      const mend = 'Check its power, paper and cable, and that it listens on this port.'
      reject(new AditError('printer-failed', `The printer at ${host}:${port} ${why}.`, mend, { cause }))
    }
    const socket = connect({ host, port })
    socket.setTimeout(patienceMs, () => fail(`takes nothing for ${patienceMs / 1000} s`))
    socket.once('error', (error) => fail(`cannot be reached: ${error.message}`, error))
    // What it says back is its own affair, but unread it would hold the close up.
    socket.resume()
    // Its own end of the connection shows that it has read ours; without it a label in the wire would count as printed.
    socket.once('close', (hadError) => {
      if (!hadError) resolve()
    })
    socket.end(bytes)
  })
}

/** A program, started without a shell for each label. */
export function commandOutlet(command: string): LabelOutlet {
  const [program, ...words] = command.trim().split(/\s+/)
  if (!program) throw new AditError('usage', 'The print command is empty.', 'Write one, as in --print-command "lp -d labels".')
  return { put: (bytes) => runWith(program, words, bytes) }
}

function runWith(program: string, words: readonly string[], bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void =>
      reject(new AditError('printer-failed', `${program} ${why}.`, 'Try it by hand, then: adit station label UNIT', { cause }))
    const child = spawn(program, [...words], { stdio: ['pipe', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(0, 300)
    })
    // A program that does not read its input tells by its status what is wrong.
    child.stdin.on('error', () => {})
    child.once('error', (error) => fail(`cannot be started: ${error.message}`, error))
    child.once('close', (status, signal) => {
      if (status === 0) resolve()
      else fail(`ended with ${signal ?? `status ${status}`}${said.trim() && `: ${said.trim().replace(/\s+/g, ' ')}`}`)
    })
    child.stdin.end(bytes)
  })
}
