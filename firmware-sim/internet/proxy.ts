import { type DoorQuestion, hear, say } from '#sim/internet/door.ts'
import type { Pipe } from '#sim/internet/pipe.ts'
import type { Pipes } from '#sim/internet/pipes.ts'

export interface ProxyRules {
  /** NAME:PASSWORD that it asks for. */
  password?: string | undefined
  /** Ports that CONNECT may name; others are answered 403. */
  ports?: readonly number[]
}

/** An HTTP proxy, as far as CONNECT goes (RFC 9110 §9.3.6). */
export function keepProxy(pipes: Pipes, port: number, rules: ProxyRules): void {
  pipes.listen(port, (near) =>
    hear<DoorQuestion>(near, (question) => {
      if (question.ask !== 'connect') return
      const allowed = rules.password === undefined || question.password === rules.password
      if (!allowed) say(near, { answer: 'status', status: 407 })
      else if (rules.ports && !rules.ports.includes(question.port)) say(near, { answer: 'status', status: 403 })
      else connect(pipes, near, question)
    }),
  )
}

function connect(pipes: Pipes, near: Pipe, { address, port }: { address: string; port: number }): void {
  const far = pipes.open({ address, port })
  if (far === undefined) {
    say(near, { answer: 'status', status: 502 })
    return
  }
  far.onOpen = () => {
    say(near, { answer: 'status', status: 200 })
    near.onData = (bytes) => far.send(bytes)
    far.onData = (bytes) => near.send(bytes)
    near.onEnd = () => far.close()
  }
  far.onEnd = () => {
    if (!far.wasOpen) say(near, { answer: 'status', status: 502 })
    near.close()
  }
}
