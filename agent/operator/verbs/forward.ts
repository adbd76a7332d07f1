import type { OperatorContext } from '#agent/operator/context.ts'
import { parseForward } from '#agent/operator/forward-spec.ts'
import { listenForward } from '#agent/operator/io/forward-listener.ts'
import { reachableAddress } from '#agent/operator/reachable-device.ts'
import { wished } from '#agent/operator/ssh-surroundings.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { endpointText } from '#shared/wire/endpoint.ts'

export interface ForwardOptions {
  local: readonly string[]
  remote: readonly string[]
  dynamic: readonly string[]
}

/** `adit forward DEVICE -L …`: local ports that lead to ports of the device, until it is interrupted. */
export async function forward(context: OperatorContext, device: string, options: ForwardOptions): Promise<void> {
  refuseOthers(options)
  const name = checkName(device)
  const specs = options.local.map(parseForward)
  const tunnel = context.tunnel()
  const { answer, socket } = await tunnel.request({ op: 'device', device: name, ...wished(context) })
  socket.destroy()
  reachableAddress(answer.device as Parameters<typeof reachableAddress>[0])
  // Holds the tunnel open between connections, so that each begins without a handshake.
  const hold = (await tunnel.request({ op: 'hold' })).socket
  hold.resume()

  const listeners: { close(): void }[] = []
  try {
    for (const spec of specs) {
      const listener = await listenForward(spec, {
        open: async () => (await tunnel.request({ op: 'open', device: name, port: spec.hostPort, ...wished(context) })).socket,
        onFailure: (error) => context.complain(toAditError(error)),
      })
      listeners.push(listener)
      await tellWhere(context, listener, name, spec.hostPort)
    }
  } catch (error) {
    // All or nothing; and what stays open would keep the program from ending.
    for (const listener of listeners) listener.close()
    hold.destroy()
    throw error
  }
}

async function tellWhere(
  context: OperatorContext,
  { address, port }: { address: string; port: number },
  device: string,
  devicePort: number,
): Promise<void> {
  const where = endpointText({ address, port })
  if (context.json) await context.write(`${JSON.stringify({ event: 'listening', listen: where, device, port: devicePort })}\n`)
  else context.note(`${where} leads to port ${devicePort} of ${device}. Ctrl-C ends it.`)
}

function refuseOthers({ local, remote, dynamic }: ForwardOptions): void {
  if (remote.length > 0)
    throw new AditError(
      'forbidden',
      'A device cannot open connections to you (-R): the broker relays from operators to devices only.',
      'Turn it round with -L, or use ssh: adit ssh DEVICE -R …',
    )
  if (dynamic.length > 0)
    throw new AditError(
      'forbidden',
      'A device is no proxy to its network (-D): grants open ports of devices, not networks behind them.',
      'Name the ports with -L, or use ssh: adit ssh DEVICE -D …',
    )
  if (local.length === 0)
    throw new AditError('usage', 'No port is named to forward.', 'Type it as: adit forward DEVICE -L 8080:localhost:80.')
}
