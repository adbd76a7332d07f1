import { isAbsolute } from 'node:path'
import { AditError } from '#shared/errors.ts'

/** Where an identity key lives in hardware. No secret is in it: the PIN is in a file of its own. */
export interface TokenPlace {
  /** Path of the PKCS#11 module, absolute. */
  readonly module: string
  /** Label of the token. */
  readonly token: string
  /** Its serial number, where several have the label. */
  readonly serial?: string
  /** Label of the key. */
  readonly key: string
  /** File whose first line is the user's PIN, 0600; absolute. */
  readonly pinFile: string
}

/** Of a device's key, and of a board's own (its IDevID's), unless a person names it. */
export const defaultKeyLabel = 'adit-identity'
export const boardKeyLabel = 'adit-idevid'

/**
 * A PKCS#11 URI (RFC 7512) as after `--pkcs11`: `pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE`, and `serial` of a
 * token that is not the only one of its label. `keyLabel`: where the URI names no object. Throws AditError `usage`; a PIN in the URI is refused, since it would stand in process lists and shell histories.
 */
export function parseTokenUri(text: string, keyLabel = defaultKeyLabel): TokenPlace {
  const [, path, query = ''] = /^pkcs11:([^?]*)(?:\?(.*))?$/.exec(text) ?? []
  if (path === undefined) throw unusable('That is no PKCS#11 URI')
  const fields = new Map([...path.split(';'), ...query.split('&')].filter(Boolean).map(attributeOf))
  if (fields.has('pin-value')) throw unusable('A PIN may not stand in the URI')
  for (const name of fields.keys()) if (!known.has(name)) throw unusable(`"${name}" in the URI is not known`)
  return checkTokenPlace({
    module: fields.get('module-path') ?? '',
    token: fields.get('token') ?? '',
    ...(fields.has('serial') && { serial: fields.get('serial')! }),
    key: fields.get('object') ?? keyLabel,
    pinFile: (fields.get('pin-source') ?? '').replace(/^file:(?:\/\/)?/, ''),
  })
}

const known = new Set(['token', 'serial', 'object', 'type', 'module-path', 'pin-source'])

/** Throws AditError `usage` for a place that is not whole. */
export function checkTokenPlace({ module, token, serial, key, pinFile }: TokenPlace): TokenPlace {
  if (!isAbsolute(module)) throw unusable('The PKCS#11 module is not given as an absolute path')
  if (!isAbsolute(pinFile)) throw unusable('The file of the PIN is not given as an absolute path')
  for (const label of [token, serial ?? 'none', key])
    if (label === '' || Buffer.byteLength(label) > longestLabel) throw unusable('A label is empty or too long')
  return { module, token, ...(serial !== undefined && { serial }), key, pinFile }
}

/** Whether both are one key, wherever module and PIN are found by now. */
export const isSameKey = (one: TokenPlace, other: TokenPlace): boolean =>
  one.token === other.token && one.key === other.key && (one.serial ?? other.serial) === (other.serial ?? one.serial)

/** The label of the key that follows: `adit-identity`, `adit-identity.2`, `adit-identity.3` … */
export function nextKeyLabel(label: string): string {
  const [base, number] = generationOf(label)
  return `${base}.${number + 1}`
}

/** Where a key is that was made at `made`, of which a person says that it is at `said` by now: whose label may be that of an earlier key. */
export function movedTo(said: TokenPlace, made: TokenPlace): TokenPlace {
  const [before, number] = generationOf(said.key)
  const [base, later] = generationOf(made.key)
  return base === before && later > number ? { ...said, key: made.key } : said
}

/** Of a label and its number the label is cut to what leaves room for the number. */
function generationOf(label: string): [base: string, number: number] {
  const [, named, digits] = /^(.+)\.(\d{1,6})$/.exec(label) ?? []
  const [base, number] = named === undefined || Number(digits) < 2 ? [label, 1] : [named, Number(digits)]
  let cut = base
  while (Buffer.byteLength(cut) > longestLabel - longestNumber) cut = [...cut].slice(0, -1).join('')
  return [cut, number]
}

/** Of `.999999`, in bytes. */
const longestNumber = 7

/** Bytes of a token's label (PKCS#11 §3.2), and of our keys'; a serial number has 16. */
const longestLabel = 32

/** A place as a file of the state folder has it. Throws AditError `usage`, or what JSON says. */
export const tokenPlaceIn = (bytes: Uint8Array): TokenPlace =>
  checkTokenPlace(JSON.parse(Buffer.from(bytes).toString('utf8')) as TokenPlace)

function attributeOf(text: string): [name: string, value: string] {
  const at = text.indexOf('=')
  if (at < 1) throw unusable(`"${text}" in the URI is no NAME=VALUE`)
  try {
    return [text.slice(0, at), decodeURIComponent(text.slice(at + 1))]
  } catch {
    throw unusable(`"${text}" in the URI is not written as a URI is`)
  }
}

const unusable = (why: string): AditError =>
  new AditError(
    'usage',
    `${why}.`,
    "Write --pkcs11 'pkcs11:token=LABEL;object=LABEL?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/adit/pin'.",
  )
