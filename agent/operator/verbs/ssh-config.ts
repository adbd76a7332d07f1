import { readPin } from '#agent/io/fleet-keeper.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { hostSuffix } from '#agent/operator/ssh-arguments.ts'
import { type HostKeyTrust, hostKeyOptions, proxyCommand } from '#agent/operator/ssh-command.ts'
import { surroundings, trustOf } from '#agent/operator/ssh-surroundings.ts'
import { toAditError } from '#shared/errors.ts'

/**
 * `adit ssh-config`: a block for ~/.ssh/config, with which ssh, scp, sftp and rsync reach `DEVICE.adit`. Devices without our agent,
 * which pin no host key, are listed by name before the rest, since ssh takes the first value that it meets.
 */
export async function sshConfig(context: OperatorContext): Promise<void> {
  // Under a pinned fleet key no host key is taken at first sight.
  const pinned = await readPin(await StateFolder.open(context.stateFolder))
  const stock = pinned === undefined ? await devicesWithoutPins(context) : []
  const blocks = stock.length === 0 ? [] : [block(context, stock.map((name) => name + hostSuffix).join(' '), 'first-use')]
  const text = [...blocks, block(context, `*${hostSuffix}`, 'pinned')].join('\n')
  await context.write(context.json ? `${JSON.stringify({ config: text })}\n` : text)
}

function block(context: OperatorContext, hosts: string, trust: HostKeyTrust): string {
  const around = surroundings(context)
  const options = [['ProxyCommand', proxyCommand(around.program, '%h', '%p')], ...hostKeyOptions(trust, around)]
  return `Host ${hosts}\n${options.map(([key, value]) => `  ${key} ${value}\n`).join('')}`
}

/** The general block is useful also while the broker cannot be asked. */
async function devicesWithoutPins(context: OperatorContext): Promise<string[]> {
  try {
    const devices = await (await context.api()).devices()
    return devices.filter((device) => device.stock && trustOf(device) === 'first-use').map(({ name }) => name)
  } catch (error) {
    context.complain(toAditError(error))
    return []
  }
}
