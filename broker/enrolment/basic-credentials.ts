/** A claim as HTTP Basic carries it (RFC 7617): user-id = claim id, password = secret, both in hex. */
export interface ClaimCredentials {
  /** 8 bytes in lower-case hex. */
  readonly id: string
  /** 16 bytes. */
  readonly secret: Uint8Array
}

/**
 * Undefined where the header is missing or is not the form of a claim: then the client is asked for credentials (401), as stock
 * EST clients expect before they send any.
 */
export function readBasic(header: string | undefined): ClaimCredentials | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/]{1,128}={0,2}) *$/i.exec(header ?? '')?.[1]
  if (encoded === undefined) return undefined
  const match = /^([0-9a-f]{16}):([0-9a-f]{32})$/i.exec(Buffer.from(encoded, 'base64').toString('latin1'))
  if (match === null) return undefined
  return { id: match[1]!.toLowerCase(), secret: new Uint8Array(Buffer.from(match[2]!, 'hex')) }
}
