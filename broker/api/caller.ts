import type { Peer } from '#broker/identity/authority.ts'
import type { Lane } from '#broker/registry/lane-rows.ts'
import type { Principal } from '#broker/registry/principal.ts'

/**
 * Who asks. One object a request, made from the certificate of its TLS connection and the registry's principal of that key; both
 * routing of the answer and every authorisation read this object and nothing else (DESIGN D14).
 */
export interface Caller {
  readonly principal: Principal
  readonly peer: Peer
  /** Its certificate, DER. */
  readonly certificate: Uint8Array
  /** In which lane it may renew, where its certificate has expired. */
  readonly lane?: Lane
}

/**
 * What a route asks of its caller:
 * - `public`: nothing; a client certificate is not even looked at
 * - `agent`: a device's or operator's valid certificate
 * - `renewal`: a device's or operator's certificate, which may have expired as far as a lane goes (`lane-judgement.ts`)
 * - `ratchet`: a device's likewise, whose key a copy may have too
 * - `orders`: a device's certificate, which may have expired likewise, and be revoked: orders to forget the fleet reach it still
 * - `operator`: an operator's valid certificate
 * - `station`: a factory line's valid certificate
 * - `scraper`: a client on this machine, or an administrator
 */
export type Access = 'public' | 'agent' | 'renewal' | 'orders' | 'ratchet' | 'operator' | 'station' | 'scraper'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A route without it is refused to everybody: forgetting it must not open a door. */
    access?: Access
  }
  interface FastifyRequest {
    caller: Caller | undefined
  }
}
