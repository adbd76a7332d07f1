import { hostSuffix } from '#agent/operator/ssh-arguments.ts'
import { escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'

/** One `-L`: a local listener whose connections are carried to a port of the device. */
export interface ForwardSpec {
  /** Local address to listen on; loopback unless it is named. */
  readonly bind: string
  /** Local port; 0 picks a free one. */
  readonly port: number
  /** Port of the device, at its address inside the tunnel. */
  readonly hostPort: number
}

/**
 * `[BIND:]PORT:HOST:HOSTPORT` or `[BIND:]PORT:HOSTPORT`, IPv6 in brackets, as ssh -L. HOST is as the device would name it: only the
 * device itself (`localhost`, 127.0.0.1, ::1) can be reached.
 */
export function parseForward(text: string): ForwardSpec {
  const parts = split(text)
  if (parts.length < 2 || parts.length > 4) throw usage(text, 'it is not [BIND:]PORT:[HOST:]HOSTPORT')
  const hostPort = port(text, parts.pop()!, 1)
  // Two left: PORT:HOST, or BIND:PORT; a bare number in the second place is a port.
  const host = parts.length === 3 || (parts.length === 2 && !/^\d+$/.test(parts[1]!)) ? parts.pop()! : undefined
  const local = port(text, parts.pop()!, 0)
  const bind = parts.pop() ?? '127.0.0.1'
  if (host !== undefined && !ownHosts.includes(host.toLowerCase()))
    throw usage(text, `${escapeText(host)} lies beyond the device, and grants open ports of devices only`)
  return { bind: bindAddresses[bind] ?? bind, port: local, hostPort }
}

/** One `-D`: `[BIND:]PORT`, a local SOCKS server, as ssh -D. */
export function parseDynamic(text: string): Pick<ForwardSpec, 'bind' | 'port'> {
  const parts = split(text)
  if (parts.length > 2) throw usage(text, 'it is not [BIND:]PORT')
  const local = port(text, parts.pop()!, 0)
  const bind = parts.pop() ?? '127.0.0.1'
  return { bind: bindAddresses[bind] ?? bind, port: local }
}

/** Whether a SOCKS client that asks for `host` means the device: by its name, as it calls itself, or by an inner address. */
export function isDeviceHost(host: string, device: { readonly name: string; readonly addresses: readonly string[] }): boolean {
  const wanted = host.toLowerCase().replace(/\.$/, '')
  const names = [
    device.name.toLowerCase(),
    `${device.name.toLowerCase()}${hostSuffix}`,
    ...ownHosts.filter((name) => name !== ''),
  ]
  return names.includes(wanted) || device.addresses.includes(wanted)
}

/** How the device is called from its own point of view. */
const ownHosts = ['localhost', '127.0.0.1', '::1', '']
const bindAddresses: Record<string, string> = { '*': '::', '': '::', localhost: '127.0.0.1' }

/** At colons outside brackets; brackets are taken off. */
function split(text: string): string[] {
  return [...text.matchAll(/(?:^|:)(?:\[([^\]]*)\]|([^:]*))/g)].map((match) => match[1] ?? match[2] ?? '')
}

function port(text: string, digits: string, least: number): number {
  const value = /^\d{1,5}$/.test(digits) ? Number(digits) : -1
  if (value < least || value > 65535) throw usage(text, `"${escapeText(digits)}" is no port`)
  return value
}

const usage = (text: string, why: string): AditError =>
  new AditError(
    'usage',
    `The forward "${escapeText(text)}" cannot be made: ${why}.`,
    'Type it as: adit forward DEVICE -L 8080:localhost:80.',
  )
