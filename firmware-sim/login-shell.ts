import type { Duplex } from 'node:stream'
import ssh2 from 'ssh2'
import { newSshKeyPair } from './ssh-key-pair.ts'

/**
 * The stand-in for a board's sshd: a real SSH server (ssh2) with a handful of commands. It lets a fleet be reached by OpenSSH
 * without a login on this machine. It authenticates by public key alone and has no password.
 */
export interface LoginShellOptions {
  hostName: string
  /** OpenSSH public key lines that may log in, as any user. */
  authorizedKeys: readonly string[]
  /** OpenSSH private key of the host; a new Ed25519 one where absent. */
  hostKey?: string
  uptimeSeconds: () => number
  readings: () => readonly { name: string; value: number; unit: string }[]
}

interface CommandResult {
  output: string
  status: number
}

export class LoginShell {
  readonly hostKey: string
  readonly #options: LoginShellOptions
  readonly #server: ssh2.Server
  readonly #authorized: readonly ssh2.ParsedKey[]
  readonly #connections = new Set<ssh2.Connection>()

  constructor(options: LoginShellOptions) {
    this.#options = options
    this.hostKey = options.hostKey ?? newSshKeyPair().private
    this.#authorized = options.authorizedKeys.map(parseAuthorizedKey)
    this.#server = new ssh2.Server({ hostKeys: [this.hostKey], ident: 'adit-sim' }, (client) => this.#serve(client))
  }

  /** The host key as an OpenSSH line. */
  get publicHostKey(): string {
    const key = parseAuthorizedKey(this.hostKey)
    return `${key.type} ${key.getPublicSSH().toString('base64')}`
  }

  /** Serves one SSH connection on a stream that a listener of the netstack accepted. */
  accept(stream: Duplex): void {
    stream.on('error', () => stream.destroy())
    this.#server.injectSocket(stream as never)
  }

  close(): void {
    for (const connection of this.#connections) connection.end()
  }

  #serve(client: ssh2.Connection): void {
    this.#connections.add(client)
    client.on('close', () => this.#connections.delete(client))
    client.on('error', () => client.end())
    client.on('authentication', (context) => this.#authenticate(context))
    client.on('session', (accept) => {
      const session = accept()
      session.on('pty', (ok) => ok?.())
      session.on('exec', (ok, _reject, { command }) => {
        const channel = ok()
        const { output, status } = this.#run(command)
        channel.write(output)
        channel.exit(status)
        channel.end()
      })
      session.on('shell', (ok) => this.#interact(ok()))
    })
  }

  #authenticate(context: ssh2.AuthContext): void {
    if (context.method === 'publickey' && this.#mayLogIn(context)) context.accept()
    else context.reject(['publickey'])
  }

  #mayLogIn({ key, blob, signature, hashAlgo }: ssh2.PublicKeyAuthContext): boolean {
    const known = this.#authorized.find((authorized) => authorized.getPublicSSH().equals(key.data))
    if (!known) return false
    // without a signature the client only asks whether the key would do
    if (!signature || !blob) return true
    return known.verify(blob, signature, hashAlgo) === true
  }

  #interact(channel: ssh2.ServerChannel): void {
    const prompt = `${this.#options.hostName}:~$ `
    let line = ''
    channel.write(`adit simulated device ${this.#options.hostName}; "help" lists the commands\r\n${prompt}`)
    channel.on('data', (bytes: Buffer) => {
      for (const character of bytes.toString('utf8')) {
        if (character === '\u0004') return leave(0)
        if (character === '\u0003') line = ''
        else if (character === '\u007f') line = line.slice(0, -1)
        else if (character !== '\r' && character !== '\n') {
          line += character
          channel.write(character)
          continue
        }
        if (line.trim() === 'exit') return leave(0)
        const output = line.trim() ? this.#run(line).output.replaceAll('\n', '\r\n') : ''
        line = ''
        channel.write(`\r\n${output}${prompt}`)
      }
    })
    const leave = (status: number) => {
      channel.write('\r\n')
      channel.exit(status)
      channel.end()
    }
  }

  #run(text: string): CommandResult {
    const [name = '', ...words] = text.trim().split(/\s+/)
    const command = this.#commands[name]
    return command ? command(words) : { output: `${name}: not one of this simulated shell's commands\n`, status: 127 }
  }

  readonly #commands: Readonly<Record<string, (words: readonly string[]) => CommandResult>> = {
    help: () => said('echo exit false help hostname sensors true uname uptime'),
    echo: (words) => said(words.join(' ')),
    hostname: () => said(this.#options.hostName),
    uname: () => said(`Linux ${this.#options.hostName} 6.12.0-adit-sim aarch64 GNU/Linux`),
    uptime: () => said(`up ${Math.floor(this.#options.uptimeSeconds())} seconds`),
    sensors: () =>
      said(
        this.#options
          .readings()
          .map(({ name, value, unit }) => `${name} ${value} ${unit}`)
          .join('\n'),
      ),
    true: () => ({ output: '', status: 0 }),
    false: () => ({ output: '', status: 1 }),
  }
}

const said = (text: string): CommandResult => ({ output: `${text}\n`, status: 0 })

function parseAuthorizedKey(line: string): ssh2.ParsedKey {
  const parsed = ssh2.utils.parseKey(line)
  if (parsed instanceof Error) throw new TypeError(`not an OpenSSH public key: ${line.slice(0, 40)}`)
  return Array.isArray(parsed) ? parsed[0]! : parsed
}
