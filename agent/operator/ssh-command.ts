import type { SshArguments } from '#agent/operator/ssh-arguments.ts'
import { hostSuffix } from '#agent/operator/ssh-arguments.ts'
import { shellWord } from '#shared/terminal/shell-word.ts'

export interface SshSurroundings {
  /** The words that run this program again with the same state folder. */
  program: readonly string[]
  /** The file of host keys: the broker's pins, and what ssh itself kept of devices that have no agent to report theirs. */
  knownHosts: string
}

/**
 * How a device's host keys are judged: by the broker's pins alone, or, where it has no agent that could report any, as met at first
 * use. Only the former refuses a key of another type than the pinned ones, which `accept-new` would take for a new one.
 */
export type HostKeyTrust = 'pinned' | 'first-use'

/**
 * The words of `ssh` (or of `scp`, whose `-o` is the same). The user's flags come before ours except for the ProxyCommand, since ssh
 * takes the first value that it meets: what is typed wins, but the road is always ours.
 */
export function sshWords(name: string, ssh: SshArguments, trust: HostKeyTrust, surroundings: SshSurroundings): string[] {
  return [
    '-o',
    `ProxyCommand=${proxyCommand(surroundings.program, name, String(ssh.port))}`,
    ...ssh.flags,
    ...(ssh.user === undefined ? [] : ['-l', ssh.user]),
    ...hostKeyOptions(trust, surroundings).flatMap(([key, value]) => ['-o', `${key}=${value}`]),
    '--',
    `${name}${hostSuffix}`,
    ...ssh.command,
  ]
}

export function hostKeyOptions(
  trust: HostKeyTrust,
  { knownHosts }: Pick<SshSurroundings, 'knownHosts'>,
): [key: string, value: string][] {
  return [
    ['UserKnownHostsFile', quoted(knownHosts)],
    ['GlobalKnownHostsFile', '/dev/null'],
    ['StrictHostKeyChecking', trust === 'pinned' ? 'yes' : 'accept-new'],
    ['UpdateHostKeys', 'no'],
    ['CheckHostIP', 'no'],
  ]
}

/** ssh hands the ProxyCommand to the user's shell, with an `exec` of its own before it, after it has expanded `%` tokens. `host` and `port` are words of ours or tokens. */
export function proxyCommand(program: readonly string[], host: string, port: string): string {
  return [...program.map((word) => shellWord(word).replaceAll('%', '%%')), 'proxy', host, port].join(' ')
}

/** One value for ssh's configuration reader, which splits at spaces and expands `%`. */
const quoted = (path: string): string => `"${path.replaceAll('%', '%%').replaceAll('"', '\\"')}"`
