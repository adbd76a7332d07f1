import type { Socket } from 'node:net'
import type { OperatorContext } from '#agent/operator/context.ts'
import { isDeviceHost, parseDynamic, parseForward } from '#agent/operator/forward-spec.ts'
import { carryForward, listenForward } from '#agent/operator/io/forward-listener.ts'
import { serveSocks } from '#agent/operator/io/socks-server.ts'
import type { Device } from '#agent/operator/operator-api.ts'
import { partedFrom } from '#agent/operator/parted-device.ts'
import { reachableAddress } from '#agent/operator/reachable-device.ts'
import { wished } from '#agent/operator/ssh-surroundings.ts'
import { checkName, escapeText } from '#shared/enrolment/name.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { endpointText } from '#shared/wire/endpoint.ts'

export interface ForwardOptions {
  local: readonly string[]
  remote: readonly string[]
  dynamic: readonly string[]
}

/** `adit forward DEVICE -L … -D …`: local ports that lead to ports of the device, until it is interrupted. */
export async function forward(context: OperatorContext, device: string, options: ForwardOptions): Promise<void> {
  requirePossible(options)
  const name = checkName(device)
  const specs = options.local.map(parseForward)
  const proxies = options.dynamic.map(parseDynamic)
  const tunnel = context.tunnel()
  const { answer, socket } = await tunnel.request({ op: 'device', device: name, ...wished(context) })
  socket.destroy()
  const described = answer.device as Device
  reachableAddress(described)
  // Holds the tunnel open between connections, so that each begins without a handshake.
  const hold = (await tunnel.request({ op: 'hold' })).socket
  hold.resume()

  const open = async (port: number): Promise<Socket> =>
    (await tunnel.request({ op: 'open', device: name, port, ...wished(context) })).socket
  const ends = {
    onFailure: (error: unknown) => context.complain(toAditError(error)),
    onEnd: () => void partedFrom(tunnel, name).then((parted) => parted && context.complain(parted)),
  }
  const listeners: Listener[] = []
  try {
    for (const spec of specs) {
      const listener = await listenForward(
        spec,
        (local) => void carryForward(local, { ...ends, open: () => open(spec.hostPort) }),
      )
      listeners.push(listener)
      await tellWhere(context, listener, { device: name, port: spec.hostPort })
    }
    for (const place of proxies) {
      const openAt = async (host: string, port: number): Promise<Socket> => {
        requireDevice(host, described)
        return open(port)
      }
      const listener = await listenForward(place, (local) => void serveSocks(local, { ...ends, open: openAt }))
      listeners.push(listener)
      await tellWhere(context, listener, { device: name, port: undefined })
    }
  } catch (error) {
    // All or nothing; and what stays open would keep the program from ending.
    for (const listener of listeners) listener.close()
    hold.destroy()
    throw error
  }
}

interface Listener {
  readonly address: string
  readonly port: number
  close(): void
}

/** `port`: of the device; undefined: whichever a SOCKS client asks for. */
async function tellWhere(
  context: OperatorContext,
  { address, port }: Listener,
  to: { device: string; port: number | undefined },
): Promise<void> {
  const where = endpointText({ address, port })
  if (context.json) {
    const line = {
      event: 'listening',
      listen: where,
      device: to.device,
      ...(to.port === undefined ? { socks: 5 } : { port: to.port }),
    }
    return context.write(`${JSON.stringify(line)}\n`)
  }
  const what = to.port === undefined ? 'is a SOCKS 5 proxy to the ports' : `leads to port ${to.port}`
  context.note(`${where} ${what} of ${to.device}. Ctrl-C ends it.`)
}

function requireDevice(host: string, device: Device): void {
  if (isDeviceHost(host, device)) return
  throw new AditError(
    'forbidden',
    `${escapeText(host)} is not ${device.name}: a device is no proxy to its network, and grants open ports of devices only.`,
    `Ask the proxy for ${device.name} or localhost; for networks behind it, use ssh: adit ssh ${device.name} -D …`,
  )
}

function requirePossible({ local, remote, dynamic }: ForwardOptions): void {
  if (remote.length > 0)
    throw new AditError(
      'forbidden',
      'A device cannot open connections to you (-R): the broker relays from operators to devices only.',
      'Turn it round with -L, or use ssh: adit ssh DEVICE -R …',
    )
  if (local.length + dynamic.length === 0)
    throw new AditError('usage', 'No port is named to forward.', 'Type it as: adit forward DEVICE -L 8080:localhost:80.')
}
