import { toHex } from '#shared/bytes/hex.ts'

/** A claim, or the token of a line, as HTTP Basic (RFC 7617) carries it: id as user and secret as password, both in hex. */
export interface BasicCredentials {
  /** 8 bytes; public. */
  readonly id: Uint8Array
  /** 16 bytes. */
  readonly secret: Uint8Array
}

/** Value of the header `Authorization`. */
export const encodeBasic = ({ id, secret }: BasicCredentials): string =>
  `Basic ${Buffer.from(`${toHex(id)}:${toHex(secret)}`).toString('base64')}`

/** Undefined where the header is missing or of another form. */
export function decodeBasic(header: string | undefined): BasicCredentials | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/]{1,128}={0,2}) *$/i.exec(header ?? '')?.[1]
  const match = /^([0-9a-f]{16}):([0-9a-f]{32})$/i.exec(Buffer.from(encoded ?? '', 'base64').toString('latin1'))
  if (match === null) return undefined
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
  return { id: bytes(match[1]!), secret: bytes(match[2]!) }
}
