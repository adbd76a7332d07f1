import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import type { HookRoad } from '#broker/enrolment/hook.ts'

/** Longest answer read, bytes. */
const answerLimit = 64 * 1024

/**
 * An HTTPS service as the hook: the question by POST, the verdict in an answer of status 200. Its certificate is judged by the system's
 * CAs, or by those in `caFile` (PEM) alone. No redirection is followed, no proxy asked.
 */
export const hookService =
  (url: string, limitMs: number, caFile: string | undefined): HookRoad =>
  (question) =>
    new Promise((resolve, reject) => {
      // Read each time: whoever renews the file need not restart the broker.
      const trust = caFile === undefined ? {} : { ca: readFileSync(caFile) }
      const late = setTimeout(() => asked.destroy(new Error(`it gave no answer within ${limitMs / 1000} s`)), limitMs)
      const end = (error: unknown, answer = ''): void => {
        clearTimeout(late)
        if (error === undefined) resolve(answer)
        else reject(error instanceof Error ? error : new Error(String(error)))
      }
      const asked = request(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json',
          'content-length': Buffer.byteLength(question),
        },
        agent: false,
        ...trust,
      })
      asked.once('error', end)
      asked.once('response', (answer) => {
        const chunks: Buffer[] = []
        let length = 0
        answer.on('data', (chunk: Buffer) => {
          length += chunk.length
          if (length > answerLimit) asked.destroy(new Error(`its answer is longer than ${answerLimit} bytes`))
          else chunks.push(chunk)
        })
        answer.once('error', end)
        answer.once('end', () => {
          if (answer.statusCode !== 200) return end(new Error(`it answered with status ${answer.statusCode}`))
          end(undefined, Buffer.concat(chunks).toString('utf8'))
        })
      })
      asked.end(question)
    })
