import type { FastifyRequest } from 'fastify'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { Idevids, refusedBoard } from '#broker/factory/idevids.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { openVoucherRequest, type VoucherRequest } from '#shared/enrolment/voucher-request.ts'
import { decodePem } from '#shared/pki/pem.ts'

/** RFC 8366 §8.3: CMS DER, of requests and of vouchers. */
const voucherType = 'application/voucher-cms+json'

/**
 * `POST /.well-known/brski/requestvoucher` (RFC 8995 §5.2, without its MASA): a board that has just been switched on asks whose it is, and
 * is given the voucher that its maker has made. The connection must be its own, by the key of its IDevID, and the request must be about
 * this very server: what somebody in between passes on is answered as a stranger's.
 */
export function brskiRoutes(app: ApiServer, parts: ApiParts): void {
  const { registry, suite, clock, log } = parts
  const idevids = new Idevids({ factories: registry.factories, suite, clock, log })
  app.register(async (brski) => {
    brski.addContentTypeParser(voucherType, { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    brski.post(
      '/.well-known/brski/requestvoucher',
      { config: { access: 'public' }, schema: { summary: "A board's IDevID becomes its voucher", tags: ['enrolment'] } },
      async (request, reply) => {
        const serial = await provenSerial(request, idevids, parts)
        const voucher = await registry.vouchers.of(serial.factory, serial.serial)
        if (voucher === undefined) throw unknown(parts, request, serial.serial, 'no voucher of it is here')
        const detail = { from: request.ip, createdOn: voucher.createdOn }
        const entry = { actor: `board:${serial.serial}`, action: 'voucher.hand', subject: `board:${serial.serial}`, detail }
        await registry.audit.append(entry)
        return reply.type(voucherType).send(Buffer.from(voucher.cms))
      },
    )
  })
}

/** Who asks. Throws AditError `certificate-refused` for everything that does not fit together. */
async function provenSerial(
  request: FastifyRequest,
  idevids: Idevids,
  parts: ApiParts,
): Promise<{ factory: string; serial: string }> {
  const board = idevids.of(request.raw)
  if (board === undefined) throw unknown(parts, request, '', 'it shows no IDevID')
  const asked = open(request, parts)
  const { serial, leaf, fingerprint } = board
  if (!equalPublic(asked.signer.der, leaf.der) || asked.serial !== serial)
    throw unknown(parts, request, serial, 'its request is another board’s')
  const [own] = decodePem('CERTIFICATE', parts.authority.tls.cert)
  if (own === undefined || !equalPublic(asked.registrarCert, own))
    throw unknown(parts, request, serial, 'its request is for another server than this one')
  return { factory: fingerprint, serial }
}

function open(request: FastifyRequest, { suite }: ApiParts): ReturnType<typeof openVoucherRequest> & VoucherRequest {
  const { body } = request
  return openVoucherRequest(body instanceof Uint8Array ? Uint8Array.from(body) : new Uint8Array(), suite)
}

function unknown({ log }: ApiParts, request: FastifyRequest, serial: string, reason: string): Error {
  log.info({ serial, reason, from: request.ip }, 'request for a voucher refused')
  return refusedBoard()
}
