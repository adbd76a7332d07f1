/**
 * Watches the first bytes of an SSH server (RFC 4253 §4.2: it may send lines before its identification, which begins with "SSH-").
 *
 * OpenSSH's server drops connections at random while more than ten wait for authentication (MaxStartups 10:30:100): it says so in one
 * line and closes. Twenty `adit ssh` at once meet that, so such a connection is tried again, and the little that the
 * client had sent is sent again.
 */
export class SshGreeting {
  /** What the client sent before the server greeted, to be repeated on another connection; undefined when it grew too long. */
  #sent: Buffer[] | undefined = []
  #sentLength = 0
  #heard = ''
  #greeted = false

  /** The client sends `chunk`. */
  clientSent(chunk: Buffer): void {
    if (this.#greeted || this.#sent === undefined) return
    this.#sentLength += chunk.length
    if (this.#sentLength > sentLimit) this.#sent = undefined
    else this.#sent.push(chunk)
  }

  /** The server sends `chunk`; returns what the client may see of it: nothing while it could still be a refusal. */
  serverSent(chunk: Buffer): Buffer {
    if (this.#greeted) return chunk
    this.#heard += chunk.toString('latin1')
    if (refusals.some((text) => text.startsWith(this.#heard))) return Buffer.alloc(0)
    this.#greeted = true
    return Buffer.from(this.#heard, 'latin1')
  }

  /** The server closed: was it such a refusal, and can the attempt be made again? */
  get refused(): boolean {
    return refusals.includes(this.#heard) && this.#sent !== undefined
  }

  /** Not one byte has come from the server. */
  get silent(): boolean {
    return !this.#greeted && this.#heard === ''
  }

  /** What could still have been a refusal, where no other attempt follows: the client is to see it after all. */
  get heldBack(): Buffer {
    return Buffer.from(this.#greeted ? '' : this.#heard, 'latin1')
  }

  /** Begins another attempt; returns what the server must be sent again. */
  restart(): Buffer {
    this.#heard = ''
    return Buffer.concat(this.#sent ?? [])
  }
}

/** More than an identification line (255 bytes): the client has been heard by somebody. Bytes. */
const sentLimit = 4096

/** What sshd writes before it closes (sshd.c, drop_connection), by version. */
const refusals = ['Exceeded MaxStartups\r\n', 'Not allowed at this time\r\n']
