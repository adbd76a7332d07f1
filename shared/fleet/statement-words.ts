import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { keyFingerprint } from './key-fingerprint.ts'
import type { Statement } from './statement.ts'

/** A statement as a person reads it before signing: one sentence, with everything that signing it would mean. */
export function statementWords(statement: Statement, suite: Pick<Suite, 'hash'>): string {
  switch (statement.kind) {
    case 'peer': {
      const { role, name, id, addresses, tunnelKey, tags, groups } = statement
      const labels = [list('tag', tags), list('group', groups)].filter((text) => text !== '').join(' and ')
      const key = tunnelKey ? `the tunnel key ${toHex(tunnelKey.subarray(0, 8))}…` : 'no tunnel key'
      return `The ${role} ${name} (${id.slice(0, 8)}) has ${key} and is at ${addresses.join(', ')}${labels && `, with ${labels}`}.`
    }
    case 'host-keys': {
      const { device, service, keys } = statement
      return `The ${service} service of device ${device.slice(0, 8)} shows ${keys.map((key) => sshFingerprint(key, suite)).join(', ')}.`
    }
    case 'grant': {
      const { id, operators, groups, devices, tags, ports } = statement
      const who = [list('operator', operators), list('group', groups)].filter((text) => text !== '').join(' and ')
      const what = [list('device', devices), list('devices with the tag', tags)].filter((text) => text !== '').join(' and ')
      const open = ports.map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`)).join(', ')
      return `Grant ${id}: ${who} may open ${ports.length === 0 ? 'no port' : `port ${open}`} of ${what}.`
    }
    case 'key':
      return `The fleet key is from now on the one with the fingerprint ${keyFingerprint(statement.key, suite)}.`
    case 'wipe': {
      const { device, identity, next } = statement
      const who = `The device ${device}, with the identity key ${toHex(identity.subarray(0, 8))}…,`
      const then = next === undefined ? '' : `, and joins the fleet of the claim ${toHex(next.subarray(0, 8))}…`
      return `${who} ERASES its keys and everything of this fleet, for good${then}.`
    }
    case 'delegation': {
      const { station, id, key, names, first, last, tags, notAfter } = statement
      const labels = tags.length === 0 ? 'without tags' : `with no tag but ${tags.join(', ')}`
      const what = `The station ${station} (${id.slice(0, 8)}) may vouch for devices ${names}, numbers ${first} to ${last}, ${labels}`
      return `${what}, until ${new Date(notAfter).toISOString()}, by its key ${keyFingerprint(key, suite)}.`
    }
    case 'withdrawal':
      return `What was said of ${statement.of} ${statement.subject} holds no more.`
  }
}

const list = (what: string, names: readonly string[]): string => (names.length === 0 ? '' : `${what} ${names.join(', ')}`)

/** As `ssh-keygen -l` shows it: `ssh-ed25519 SHA256:…`. */
function sshFingerprint(line: string, suite: Pick<Suite, 'hash'>): string {
  const [type = '', blob = ''] = line.split(' ')
  const hash = Buffer.from(suite.hash('sha256', Buffer.from(blob, 'base64')))
    .toString('base64')
    .replace(/=+$/, '')
  return `${type} SHA256:${hash}`
}
