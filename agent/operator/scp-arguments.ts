import { hostSuffix } from '#agent/operator/ssh-arguments.ts'
import { type HostKeyTrust, hostKeyOptions, proxyCommand, type SshSurroundings } from '#agent/operator/ssh-command.ts'
import { AditError } from '#shared/errors.ts'
import { sentence } from '#shared/terminal/sentence.ts'

/** Letters of scp(1) that take a value. */
const withValue = 'cDFiJloPSX'

interface ScpWords {
  /** As typed: not yet checked to be names. */
  devices: readonly string[]
  /** The words of scp itself. */
  words(trust: HostKeyTrust, surroundings: SshSurroundings): string[]
}

/** Splits scp's words and gives every `[USER@]DEVICE:PATH` the name that ssh knows the device by. */
export function scpWords(typed: readonly string[]): ScpWords {
  const flags: string[] = []
  let at = 0
  for (; at < typed.length; at++) {
    const word = typed[at]!
    if (word === '--') {
      at++
      break
    }
    if (!word.startsWith('-') || word === '-') break
    flags.push(word)
    // The value of a bundle of letters is the next word where the letter that takes one stands last.
    const taking = [...word.slice(1)].findIndex((letter) => withValue.includes(letter))
    if (taking === word.length - 2) flags.push(typed[++at] ?? '')
  }
  const files = typed.slice(at).map(translate)
  const devices = [...new Set(files.flatMap(({ device }) => (device === undefined ? [] : [device])))]
  if (files.length < 2) throw usage('a source and a target are needed')
  if (devices.length === 0) throw usage('neither source nor target is on a device')
  return {
    devices,
    words: (trust, surroundings) => [
      '-o',
      `ProxyCommand=${proxyCommand(surroundings.program, '%h', '%p')}`,
      ...flags,
      ...hostKeyOptions(trust, surroundings).flatMap(([key, value]) => ['-o', `${key}=${value}`]),
      '--',
      ...files.map(({ word }) => word),
    ],
  }
}

/** A colon before any slash makes a file remote, as scp judges it. */
function translate(word: string): { word: string; device: string | undefined } {
  const match = /^((?:[^/:@]+@)?)([^/:@]+):(.*)$/s.exec(word)
  if (match === null) return { word, device: undefined }
  const [, user = '', host = '', path = ''] = match
  const device = host.toLowerCase().endsWith(hostSuffix) ? host.slice(0, -hostSuffix.length) : host
  return { word: `${user}${device}${hostSuffix}:${path}`, device }
}

const usage = (why: string): AditError =>
  new AditError('usage', sentence(why), 'Type it as: adit cp FILE DEVICE:PATH, or adit cp DEVICE:PATH FILE.')
