import type { OperatorContext } from '#agent/operator/context.ts'
import { carrySsh } from '#agent/operator/io/carry-ssh.ts'
import { partedFrom } from '#agent/operator/parted-device.ts'
import { hostSuffix } from '#agent/operator/ssh-arguments.ts'
import { wished } from '#agent/operator/ssh-surroundings.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'

/** `adit proxy DEVICE PORT`: standard input and output joined to a port of the device. What ssh runs as its ProxyCommand. */
export async function proxy(context: OperatorContext, [host = '', portText = '']: readonly string[]): Promise<number> {
  const name = checkName(host.toLowerCase().endsWith(hostSuffix) ? host.slice(0, -hostSuffix.length) : host)
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0
  if (port < 1 || port > 65535)
    throw new AditError('usage', 'adit proxy needs a port from 1 to 65535.', 'Type it as: adit proxy DEVICE 22.')
  const tunnel = context.tunnel()
  const answered = await carrySsh(
    process,
    async () => (await tunnel.request({ op: 'open', device: name, port, ...wished(context) })).socket,
  )
  const parted = await partedFrom(tunnel, name)
  if (parted) throw parted
  if (!answered) {
    const message = `Nothing answered at port ${port} of ${name}: the connection was closed without a word.`
    throw new AditError(
      'service-refused',
      message,
      `See that the service runs on the device; adit why ${name} tells what is known.`,
    )
  }
  return 0
}
