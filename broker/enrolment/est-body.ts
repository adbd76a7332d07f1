import { AditError } from '#shared/errors.ts'

/**
 * Bodies of EST (RFC 7030 §4, with RFC 8951): DER in base64 without PEM armour, whatever Content-Transfer-Encoding says. Requests are
 * taken in DER and PEM as well, since clients in the field send both.
 */

/** Longest line that `openssl base64 -d` reads, its LF included, and the usual width of what is longer. Characters. */
const longestLine = 1024
const lineLength = 76

export const contentTypes = {
  request: 'application/pkcs10',
  certificates: 'application/pkcs7-mime; smime-type=certs-only',
  attributes: 'application/csrattrs',
} as const

/**
 * An answer's base64. RFC 8951 has it in one line without line ends, and strongSwan, which sends no Accept header, reads nothing else.
 * People with curl, which sends one, decode with `openssl base64 -d`, which wants lines, closed ones, and not too long.
 */
export function encodeBody(der: Uint8Array, accept: string | undefined): string {
  const text = Buffer.from(der).toString('base64')
  if (accept === undefined) return text
  if (text.length < longestLine) return `${text}\n`
  return text.replace(new RegExp(`.{1,${lineLength}}`, 'g'), '$&\n')
}

/** The DER of a request's body; throws AditError `request-refused`. */
export function decodeBody(body: unknown): Uint8Array {
  if (!(body instanceof Uint8Array) || body.length === 0) throw refused('it has no body')
  // 0x30 opens a DER SEQUENCE, and is the digit 0 in base64, where no PKCS#10 begins with: its first octets give "MI".
  if (body[0] === 0x30) return body
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    .toString('latin1')
    .replace(/-----(?:BEGIN|END) (?:NEW )?CERTIFICATE REQUEST-----/g, '')
    .replace(/\s+/g, '')
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw refused('its body is not base64')
  return new Uint8Array(Buffer.from(text, 'base64'))
}

const refused = (why: string): AditError =>
  new AditError(
    'request-refused',
    `The certification request is refused: ${why}.`,
    'Send a PKCS#10 request in base64 (RFC 7030 §4.2.1).',
  )
