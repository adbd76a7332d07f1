import type { PathWish } from '#agent/core/direct/direct-peer.ts'
import { AditError, type ErrorCode, exitStatuses } from '#shared/errors.ts'

/**
 * What is said on the tunnel process's socket: one JSON line up, one JSON line down, and after `open` raw bytes both ways.
 *
 *   adit proxy                                tunnel process
 *     {"op":"open","device":"pi","port":22} ->
 *                                          <- {"ok":true,"device":{…}}
 *     bytes                               <-> bytes                        until both ends have ended
 */
export type TunnelRequest =
  /** A TCP stream to a port of the device. */
  | { op: 'open'; device: string; port: number; path?: PathWish }
  /** Only look: what is known of it, and its pinned keys written to `known_hosts`. */
  | { op: 'device'; device: string; path?: PathWish }
  /** Whether the right to reach it has ended of late: a connection that closes tells nobody why. */
  | { op: 'parting'; device: string }
  /** Stay while this connection lasts. */
  | { op: 'hold' }
  | { op: 'status' }
  /** Leave now: the identity is about to be removed. */
  | { op: 'stop' }

/** Longest line, bytes: enough for a device with all its keys. */
export const lineLimit = 64 * 1024

export function encodeLine(message: object): string {
  return `${JSON.stringify(message)}\n`
}

/** Throws AditError `usage` for a line that is none of ours. */
export function parseRequest(line: string): TunnelRequest {
  const { op, device, port, path: text } = parseObject(line)
  const path = isPathWish(text) ? { path: text } : {}
  if (op === 'hold' || op === 'status' || op === 'stop') return { op }
  if (op === 'parting' && typeof device === 'string') return { op, device }
  if (op === 'device' && typeof device === 'string') return { op, device, ...path }
  if (op === 'open' && typeof device === 'string' && isPort(port)) return { op, device, port, ...path }
  throw new AditError(
    'usage',
    'The tunnel process does not understand the request.',
    'Update both: stop it with adit logout or by its pid.',
  )
}

/** The answer's fields; throws the AditError that it carries. */
export function parseAnswer(line: string): Record<string, unknown> {
  const answer = parseObject(line)
  if (answer.ok === true) return answer
  throw errorFrom(answer) ?? new AditError('internal', 'The tunnel process gave no answer.', 'Try again.')
}

/** An error that crossed a wire as JSON; undefined where the document is none. */
export function errorFrom(document: Record<string, unknown>): AditError | undefined {
  const { error, message, mend } = document
  if (typeof error !== 'string' || typeof message !== 'string') return undefined
  const code = Object.hasOwn(exitStatuses, error) ? (error as ErrorCode) : 'internal'
  return new AditError(code, message, typeof mend === 'string' ? mend : 'Look at the log of the broker.')
}

function parseObject(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Answered below, as for any other line that is no object.
  }
  return {}
}

const isPathWish = (value: unknown): value is PathWish => value === 'auto' || value === 'relay' || value === 'direct'

const isPort = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65535
