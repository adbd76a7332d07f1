import { oid, sequence, setOf } from '#shared/pki/der-writer.ts'
import { algorithms, tunnelKeyAttribute } from '#shared/pki/oids.ts'

/**
 * What a request should contain (RFC 7030 §4.5.2, as RFC 8951 §3.3 and RFC 9908 clarify it). CsrAttrs are a SEQUENCE of bare OIDs ("put
 * this attribute in, its value is yours to fill") and of Attributes ("this is the value"):
 *
 *   { tunnelKeyAttribute,  { ecPublicKey, SET { prime256v1 } },  ecdsa-with-SHA256 }
 *
 * Who does not know the first leaves it out and has a certificate without a tunnel key: good for TLS and IKE, not for the noise suite.
 */
export const csrAttributes = sequence(
  oid(tunnelKeyAttribute),
  sequence(oid(algorithms.ecPublicKey), setOf(oid(algorithms.p256))),
  oid(algorithms.ecdsaSha256),
)
