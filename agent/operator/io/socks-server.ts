import type { Socket } from 'node:net'
import { joinStreams } from '#agent/io/join-streams.ts'
import {
  readSocksGreeting,
  readSocksRequest,
  SOCKS_LIMIT,
  SocksReply,
  type SocksRequest,
  socksMethod,
  socksReply,
  socksReplyOf,
} from '#agent/operator/socks.ts'
import { toAditError } from '#shared/errors.ts'
import { seconds } from '#shared/time/instant.ts'
import { WireError } from '#shared/wire/wire-error.ts'

/** A client says what it wants within this time. */
const patience = seconds(10)

interface SocksOptions {
  /** A stream to that place, connected. Throws AditError. */
  open(host: string, port: number): Promise<Socket>
  onFailure(error: unknown): void
  onEnd(): void
}

/** Serves one connection of a SOCKS client, paused: what it asks for is opened, and joined to it. */
export async function serveSocks(local: Socket, { open, onFailure, onEnd }: SocksOptions): Promise<void> {
  local.setTimeout(patience, () => local.destroy())
  const request = await requestOf(local)
  if (request === undefined) return void local.destroy()
  const { host, port } = request
  const refusal = request.refusal ?? (port === 0 ? SocksReply.NotAllowed : undefined)
  if (refusal !== undefined) return void local.end(socksReply(refusal))
  local.setTimeout(0)
  try {
    const far = await open(host, port)
    if (local.destroyed) return void far.destroy()
    local.write(socksReply(SocksReply.Succeeded))
    far.once('close', onEnd)
    joinStreams(local, far)
  } catch (error) {
    local.setTimeout(patience)
    local.end(socksReply(socksReplyOf(toAditError(error).code)))
    onFailure(error)
  }
}

/** Undefined where the client ends, is none, or offers no way without authentication. What it says behind its request stays unread. */
async function requestOf(local: Socket): Promise<SocksRequest | undefined> {
  try {
    const greeting = await message(local, readSocksGreeting)
    if (greeting === undefined) return undefined
    local.write(socksMethod(greeting))
    return greeting.isOpen ? await message(local, readSocksRequest) : undefined
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

function message<Message extends { readonly length: number }>(
  socket: Socket,
  read: (bytes: Uint8Array) => Message | undefined,
): Promise<Message | undefined> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0)
    const done = (settle: () => void): void => {
      socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd)
      settle()
    }
    const onEnd = (): void => done(() => resolve(undefined))
    const onReadable = (): void => {
      try {
        for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
          bytes = Buffer.concat([bytes, chunk])
          const found = read(bytes)
          if (found === undefined && bytes.length <= SOCKS_LIMIT) continue
          if (found && bytes.length > found.length) socket.unshift(bytes.subarray(found.length))
          done(() => resolve(found))
          return
        }
      } catch (error) {
        done(() => reject(error))
      }
    }
    socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd)
    onReadable()
  })
}
