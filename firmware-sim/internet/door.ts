import type { Pipe } from '#sim/internet/pipe.ts'
import type { Pipes } from '#sim/internet/pipes.ts'

/**
 * What servers and clients of the simulated internet say in pipes, in place of TLS and HTTP: one JSON document for each message. It
 * bears what an examination could learn from the real thing, and as many bytes where sizes matter.
 */
export type DoorQuestion =
  | { ask: 'hello'; host: string }
  | { ask: 'get'; path: string }
  | { ask: 'upgrade' }
  | { ask: 'connect'; address: string; port: number; password?: string }

export type DoorAnswer =
  /** The certificate met. `chain`: its bytes, as many as a chain has. */
  | { answer: 'hello'; issuer: string; unusable?: string; chain?: string }
  | { answer: 'status'; status: number; location?: string; date?: number; code?: string }

export function say(pipe: Pipe, message: DoorQuestion | DoorAnswer): void {
  pipe.send(Buffer.from(`${JSON.stringify(message)}\n`))
}

/** Calls `heard` for each document that the other end says. */
export function hear<Message>(pipe: Pipe, heard: (message: Message) => void): void {
  let text = ''
  pipe.onData = (bytes) => {
    text += Buffer.from(bytes).toString()
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = text.slice(0, end)
      text = text.slice(end + 1)
      heard(JSON.parse(line) as Message)
    }
  }
}

export interface DoorKeeper {
  hello?(): Extract<DoorAnswer, { answer: 'hello' }> | 'cut' | undefined
  /** Undefined: silence. */
  get?(path: string): Extract<DoorAnswer, { answer: 'status' }> | undefined
  upgrade?(): number | undefined
}

/** Answers at a port as the keeper says. */
export function keepDoor(pipes: Pipes, port: number | undefined, keeper: DoorKeeper): void {
  pipes.listen(port, (pipe) =>
    hear<DoorQuestion>(pipe, (question) => {
      const answer = answerOf(keeper, question)
      if (answer === 'cut') pipe.close()
      else if (answer !== undefined) say(pipe, answer)
    }),
  )
}

function answerOf(keeper: DoorKeeper, question: DoorQuestion): DoorAnswer | 'cut' | undefined {
  if (question.ask === 'hello') return keeper.hello?.()
  if (question.ask === 'get') return keeper.get?.(question.path)
  const status = question.ask === 'upgrade' ? keeper.upgrade?.() : undefined
  return status === undefined ? undefined : { answer: 'status', status }
}
