import { AditError } from '#shared/errors.ts'
import { sentence } from '#shared/terminal/sentence.ts'

/**
 * The words after `adit ssh`, split as OpenSSH's own getopt(3) would split them, so that the destination is found among ssh's flags:
 *
 *   adit ssh [ssh's flags…] [USER@]DEVICE [ssh's flags…] [--] [COMMAND…]
 */
export interface SshArguments {
  /** ssh's own flags in their order, each with its value, ready to be passed on. */
  readonly flags: readonly string[]
  /** As typed: not yet checked to be a name. */
  readonly device: string
  readonly user: string | undefined
  /** Port on the device: 22 unless `-p PORT` or `-o Port=PORT` says otherwise. */
  readonly port: number
  readonly command: readonly string[]
}

/** Letters of ssh(1) up to OpenSSH 10 that take a value, and those that do not. */
const withValue = 'BbcDEeFIiJLlmOoPpQRSWw'
const withoutValue = '46AaCfGgKkMNnqsTtVvXxYy'

/** Flags that would replace what adit itself provides. */
const reserved: Record<string, string> = {
  J: 'adit reaches the device through its own tunnel, so a jump host has no place',
  W: 'use adit forward, or adit proxy DEVICE PORT',
}

export function parseSshArguments(words: readonly string[]): SshArguments {
  const flags: string[] = []
  let destination: string | undefined
  let at = 0
  while (at < words.length) {
    const word = words[at]!
    if (word === '--') {
      at++
      break
    }
    if (word.startsWith('-') && word.length > 1) {
      at = takeFlags(words, at, flags)
      continue
    }
    // ssh reads flags after the destination too, and the first other word after it begins the command.
    if (destination !== undefined) break
    destination = word
    at++
  }
  // `adit ssh -- DEVICE` is what a careful script writes.
  if (destination === undefined && at < words.length) destination = words[at++]
  if (destination === undefined) throw usage('no device is named')
  if (words[at] === '--') at++
  const { user, host, port } = splitDestination(destination)
  return { flags, device: host, user, port: port ?? portOf(flags) ?? 22, command: words.slice(at) }
}

/** Takes one word of flags (`-v`, `-tt`, `-lroot`, `-l root`) to `flags`; returns the index after it. */
function takeFlags(words: readonly string[], at: number, flags: string[]): number {
  const word = words[at]!
  if (word.startsWith('--')) throw usage(`ssh has no flag ${word}`)
  for (let i = 1; i < word.length; i++) {
    const letter = word[i]!
    if (withoutValue.includes(letter)) {
      flags.push(`-${letter}`)
      continue
    }
    if (!withValue.includes(letter)) throw usage(`ssh has no flag -${letter}`)
    const why = reserved[letter]
    if (why !== undefined) throw usage(`-${letter} cannot be used: ${why}`)
    const glued = word.slice(i + 1)
    const value = glued === '' ? words[at + 1] : glued
    if (value === undefined) throw usage(`-${letter} needs a value`)
    flags.push(`-${letter}`, value)
    return glued === '' ? at + 2 : at + 1
  }
  return at + 1
}

/** `DEVICE`, `USER@DEVICE` or `ssh://[USER@]DEVICE[:PORT]`. A user may contain an @, a device cannot. */
function splitDestination(text: string): { user: string | undefined; host: string; port: number | undefined } {
  const uri = text.startsWith('ssh://')
  const rest = uri ? text.slice('ssh://'.length) : text
  const cut = rest.lastIndexOf('@')
  const user = cut > 0 ? rest.slice(0, cut) : undefined
  const host = rest.slice(cut + 1)
  const colon = uri ? /^(.*):(\d{1,5})$/.exec(host) : null
  return { user, host: withoutSuffix(colon?.[1] ?? host), port: colon ? Number(colon[2]) : undefined }
}

/** What `adit ssh-config` calls a device, so that one can type the same to adit and to ssh. */
export const hostSuffix = '.adit'

const withoutSuffix = (host: string): string =>
  host.toLowerCase().endsWith(hostSuffix) ? host.slice(0, -hostSuffix.length) : host

/** ssh takes the first value of an option that it meets. */
function portOf(flags: readonly string[]): number | undefined {
  for (let i = 0; i < flags.length; i++) {
    const value = flags[i + 1] ?? ''
    const text = flags[i] === '-p' ? value : flags[i] === '-o' ? /^\s*port\s*[=\s]\s*(\S+)\s*$/i.exec(value)?.[1] : undefined
    if (text === undefined) continue
    const port = Number(text)
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw usage(`"${text}" is no port`)
    return port
  }
  return undefined
}

const usage = (why: string): AditError =>
  new AditError('usage', sentence(why), 'Type it as: adit ssh [ssh flags] DEVICE [-- COMMAND…].')
