import type { Peer } from '#broker/identity/authority.ts'
import type { Principal } from '#broker/registry/principal.ts'

/**
 * Who asks. One object a request, made from the certificate of its TLS connection and the registry's principal of that key; both
 * routing of the answer and every authorisation read this object and nothing else (DESIGN D14).
 */
export interface Caller {
  readonly principal: Principal
  readonly peer: Peer
}

/**
 * What a route asks of its caller:
 * - `public`: nothing; a client certificate is not even looked at
 * - `agent`: a device's or operator's valid certificate
 * - `renewal`: a device's or operator's certificate, which may have expired at most 400 days ago
 * - `operator`: an operator's valid certificate
 * - `scraper`: a client on this machine, or an administrator
 */
export type Access = 'public' | 'agent' | 'renewal' | 'operator' | 'scraper'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A route without it is refused to everybody: forgetting it must not open a door. */
    access?: Access
  }
  interface FastifyRequest {
    caller: Caller | undefined
  }
}
