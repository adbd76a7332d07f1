import type { Registry } from '#broker/registry/registry.ts'
import type { Station } from '#broker/stations/station.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, isSignedBy, parseCertificate } from '#shared/pki/certificate.ts'
import { purposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

type Settings = Pick<Registry['settings'], 'get' | 'set'>

const keyOf = ({ id }: Pick<Station, 'id'>): string => `station.responder.${id}`

/**
 * The word of a station's CA that a key of ours answers OCSP for its units; undefined where there is none for the certificate that the CA
 * has now. `answering`: SPKI DER of the key that is to answer.
 */
export async function responderOf(settings: Settings, station: Station, answering: Uint8Array): Promise<Certificate | undefined> {
  const text = await settings.get(keyOf(station))
  if (text === undefined || station.ca === undefined) return undefined
  const responder = parseCertificate(new Uint8Array(Buffer.from(text, 'base64')))
  const isForNow = responder.notAfter === station.ca.notAfter && equalPublic(responder.spki, answering)
  return isForNow ? responder : undefined
}

/** Takes that word. Throws AditError `request-refused` where it is any other certificate. */
export async function takeResponder(settings: Settings, station: Station, der: Uint8Array, answering: Uint8Array): Promise<void> {
  const why = faultOf(station, der, answering)
  if (why !== undefined) throw refused(why)
  await settings.set(keyOf(station), Buffer.from(der).toString('base64'))
}

function faultOf({ ca }: Station, der: Uint8Array, answering: Uint8Array): string | undefined {
  try {
    const responder = parseCertificate(der)
    const { purposes: lent, basicConstraints } = responder.extensions
    if (ca === undefined || responder.issuerKey !== ca.subjectKey || !isSignedBy(responder, ca))
      return "it is not by this station's CA"
    if (!equalPublic(responder.spki, answering)) return 'it is of another key than the device CA has now'
    const isResponder = lent?.oids.length === 1 && lent.oids[0] === purposes.ocspSigning && basicConstraints?.ca !== true
    if (!isResponder) return 'it lets its holder do other things than answer'
    return responder.notAfter === ca.notAfter ? undefined : "it does not end with the certificate of the station's CA"
  } catch (error) {
    if (error instanceof PkiError) return error.message
    throw error
  }
}

const refused = (why: string): AditError =>
  new AditError('request-refused', `The OCSP responder's certificate is refused: ${why}.`, 'Sync again: adit station sync')
