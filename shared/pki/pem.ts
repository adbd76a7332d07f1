import { PkiError } from '#shared/pki/pki-error.ts'

/** PEM (RFC 7468): text armour around DER. */
const columns = 64

export function encodePem(label: string, der: Uint8Array): string {
  const body =
    Buffer.from(der)
      .toString('base64')
      .match(new RegExp(`.{1,${columns}}`, 'g')) ?? []
  return `-----BEGIN ${label}-----\n${body.join('\n')}\n-----END ${label}-----\n`
}

/** The DER of every block with `label`, in order; throws PkiError where one is not base64. Text between blocks is passed over. */
export function decodePem(label: string, text: string): Uint8Array[] {
  const blocks = text.matchAll(new RegExp(`-----BEGIN ${label}-----([^-]*)-----END ${label}-----`, 'g'))
  return [...blocks].map(([, body = '']) => {
    const base64 = body.replace(/\s+/g, '')
    if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
      throw new PkiError('der-malformed', `a PEM block of ${label} that is not base64`)
    }
    return new Uint8Array(Buffer.from(base64, 'base64'))
  })
}
