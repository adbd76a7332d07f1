import { hostSuffix } from '#agent/operator/ssh-arguments.ts'

/** An OpenSSH public key as the broker stores it: type and base64, without comment. */
const keyLine = /^([a-z0-9@.-]{1,64}) ([A-Za-z0-9+/]+={0,2})(?: |$)/

/**
 * The `known_hosts` of one device among others (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): its lines are replaced by its pinned keys.
 * Without pinned keys the text stays as it is: what ssh itself kept of the device at first use is kept.
 */
export function withDevice(text: string, name: string, keys: readonly string[]): string {
  const host = hostPattern(name)
  if (keys.length === 0) return text
  const others = text.split('\n').filter((line) => line !== '' && !belongsTo(line, name))
  const own = keys.flatMap((key) => {
    const match = keyLine.exec(key)
    return match === null ? [] : [`${host} ${match[1]} ${match[2]}`]
  })
  return [...others, ...own].map((line) => `${line}\n`).join('')
}

/** The device's alias at port 22, and (the star is sshd's own wildcard) at any other. */
const hostPattern = (name: string): string => `${name}${hostSuffix},[${name}${hostSuffix}]:*`

/** Our lines, and the ones that ssh wrote at first use. */
const belongsTo = (line: string, name: string): boolean =>
  line
    .split(' ', 1)[0]!
    .split(',')
    .some((host) => host === `${name}${hostSuffix}` || host.startsWith(`[${name}${hostSuffix}]:`))
