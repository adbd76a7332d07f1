import { z } from 'zod'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { decodePrivateKey } from '#shared/pki/private-key.ts'
import { signedTimeToJson, signTime, TIME_NONCE_LENGTH } from '#shared/pki/signed-time.ts'

const query = z.object({ nonce: z.string().regex(new RegExp(`^[0-9a-f]{${2 * TIME_NONCE_LENGTH}}$`)) })

const timeDocument = z.object({
  time: z.number().int().describe("the broker's wall clock, ms since 1970"),
  nonce: z.string().describe("the asker's, base64"),
  signature: z.string().describe('ECDSA P-256 over "adit time v1" 00, nonce, time (8 bytes), base64 of DER'),
  chain: z.array(z.string()).describe("the signer's certificate, leaf first, base64 of DER"),
})

/** `GET /v1/time`: what time it is, under the key of the API's certificate, for agents whose clock and certificate have seen better days. */
export function timeRoute(app: ApiServer, { authority, suite, clock }: ApiParts): void {
  app.get(
    '/v1/time',
    {
      config: { access: 'public' },
      schema: { summary: 'Signed time', tags: ['agents'], querystring: query, response: { 200: timeDocument } },
    },
    (request) => {
      // Asked for anew each time: the certificate is renewed while the broker runs.
      const { key, cert } = authority.tls
      const signer = { key: decodePrivateKey('p256', key, suite), chain: decodePem('CERTIFICATE', cert) }
      return signedTimeToJson(signTime(clock.wall(), fromHex(request.query.nonce), signer, suite))
    },
  )
}
