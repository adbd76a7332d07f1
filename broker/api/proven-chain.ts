import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { channelExporter, channelHeaders, readChannelProof } from '#shared/pki/channel-proof.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/** Certificates read of a client's chain at most: leaf, issuing CA, root, and a spare one. */
const longestChain = 4

/** What a request says of its connection, beyond TLS: a proof that is bound to it. */
export interface ProofHeaders {
  readonly chain: string
  readonly proof: string
}

/** Undefined where it says nothing. One header without the other is a proof that fails. */
export function proofIn({ headers }: IncomingMessage): ProofHeaders | undefined {
  const [chain, proof] = [headers[channelHeaders.chain], headers[channelHeaders.proof]]
  return chain === undefined && proof === undefined ? undefined : { chain: String(chain ?? ''), proof: String(proof ?? '') }
}

/**
 * The chain whose first key the client has shown to hold: DER, leaf first; empty where it shows none. That is what TLS's handshake says, or
 * else, of a client whose key is in hardware, a proof on the channel (`shared/pki/channel-proof.ts`): only in TLS 1.3, where the exporter is
 * of one connection alone; where the handshake showed a certificate too, both must be the same. Whose it is, is for the caller to judge.
 * Throws PkiError with the reason.
 */
export function provenChain(
  socket: TLSSocket,
  by: ProofHeaders | undefined,
  suite: Pick<Suite, 'hash' | 'ecdsaP256'>,
): readonly Uint8Array[] {
  if (by === undefined) return chainOf(socket)
  const { protocol, length, label } = channelExporter
  if (socket.getProtocol() !== protocol)
    throw new PkiError('algorithm-unsupported', `a proof of the channel needs TLS 1.3, and this is ${socket.getProtocol()}`)
  const exporter = Uint8Array.from(socket.exportKeyingMaterial(length, label, Buffer.alloc(0)))
  const chain = readChannelProof(by, exporter, suite)
  const [shown] = chainOf(socket)
  if (shown !== undefined && !equalPublic(shown, chain[0]!))
    throw new PkiError('name-mismatch', 'TLS shows one certificate, the proof of the channel another')
  return chain
}

/** Node takes the issuers out of OpenSSL's hands when it is first asked for them: a second time they are not there. */
const chains = new WeakMap<TLSSocket, readonly Uint8Array[]>()

/** The client's chain as DER, leaf first, without what follows a self-signed certificate. */
function chainOf(socket: TLSSocket): readonly Uint8Array[] {
  const known = chains.get(socket)
  if (known !== undefined) return known
  const chain: Uint8Array[] = []
  let certificate = socket.getPeerX509Certificate?.()
  while (certificate !== undefined && chain.length < longestChain) {
    chain.push(certificate.raw)
    certificate = certificate.issuerCertificate
  }
  chains.set(socket, chain)
  return chain
}
