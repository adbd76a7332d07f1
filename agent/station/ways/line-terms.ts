import { toBase64 } from '#shared/bytes/base64.ts'

/** What a board that makes its own keys learns of its fleet beside its certificates; a bundle says the same. */
export interface LineTerms {
  /** `https://host:port` of the broker's API, in order of preference; 1 to 8. */
  readonly api: readonly string[]
  /** Literal addresses of those hosts; at most 8. */
  readonly addresses?: readonly string[]
  /** Public half of the fleet key: 32 bytes. */
  readonly fleetKey?: Uint8Array
}

/** The same in a JSON document. */
export const termsDocument = ({ api, addresses, fleetKey }: LineTerms) => ({
  api,
  ...(addresses && { addresses }),
  ...(fleetKey && { fleetKey: toBase64(fleetKey) }),
})

/** Who the station is to the boards of its line: its own identity under the fleet's root, all PEM. */
export interface LineIdentity {
  /** PKCS#8. Secret. */
  readonly keyPem: string
  /** The station's certificate, then its issuers; the root is not in it. */
  readonly chainPem: string
  readonly rootPem: string
}
