import { fromHex } from '#shared/bytes/hex.ts'
import type { IkeHeaderFields } from '#shared/wire/ike-message.ts'
import {
  AuthMethod,
  CertEncoding,
  CpAttribute,
  CpType,
  Encryption,
  Esn,
  IdType,
  Integrity,
  KeyExchangeMethod,
  NotifyType,
  PayloadType,
  Prf,
  ProtocolId,
  TransformType,
} from '#shared/wire/ike-numbers.ts'
import type { IkePayload, TrafficSelector, Transform } from '#shared/wire/ike-payload/payload.ts'

const nothing = new Uint8Array(0)

/** Bytes that differ from one another and from those of another seed. */
const bytes = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 167 + seed * 59 + 11) & 0xff)

const notify = (type: number, data: Uint8Array = nothing, spi: Uint8Array = nothing): IkePayload => ({
  kind: 'notify',
  protocol: spi.length === 0 ? ProtocolId.None : ProtocolId.Esp,
  spi,
  type,
  data,
})

const gcm: Transform = { type: TransformType.Encryption, id: Encryption.AesGcm16, keyLength: 256 }
const esn: Transform = { type: TransformType.Esn, id: Esn.Yes }
const any4: TrafficSelector = { protocol: 0, startPort: 0, endPort: 65_535, start: fromHex('00000000'), end: fromHex('ffffffff') }
const any6: TrafficSelector = { ...any4, start: new Uint8Array(16), end: new Uint8Array(16).fill(0xff) }

/** The numbers of a header, for any message: an initiator's first encrypted one. */
export const sampleHeader: IkeHeaderFields = {
  initiatorSpi: 1n,
  responderSpi: 2n,
  majorVersion: 2,
  minorVersion: 0,
  exchange: 35,
  flags: 8,
  messageId: 1,
}

/** One message of each exchange, between them every payload, as two ends of ours would say them: what is written, cut, and mutated. */
export const sampleMessages: readonly {
  readonly name: string
  readonly exchange: number
  readonly payloads: readonly IkePayload[]
}[] = [
  {
    name: 'IKE_SA_INIT',
    exchange: 34,
    payloads: [
      notify(NotifyType.Cookie, bytes(40, 1)),
      {
        kind: 'sa',
        proposals: [
          {
            number: 1,
            protocol: ProtocolId.Ike,
            spi: nothing,
            transforms: [
              gcm,
              { type: TransformType.Encryption, id: Encryption.ChaCha20Poly1305 },
              { type: TransformType.Prf, id: Prf.HmacSha256 },
              { type: TransformType.KeyExchange, id: KeyExchangeMethod.Curve25519 },
            ],
          },
          {
            number: 2,
            protocol: ProtocolId.Ike,
            spi: nothing,
            transforms: [
              { type: TransformType.Encryption, id: Encryption.AesCbc, keyLength: 128 },
              { type: TransformType.Prf, id: Prf.HmacSha512 },
              { type: TransformType.Integrity, id: Integrity.HmacSha256_128 },
              { type: TransformType.KeyExchange, id: KeyExchangeMethod.Modp2048 },
            ],
          },
        ],
      },
      { kind: 'ke', group: KeyExchangeMethod.Curve25519, data: bytes(32, 2) },
      { kind: 'nonce', nonce: bytes(32, 3) },
      notify(NotifyType.NatDetectionSourceIp, bytes(20, 4)),
      notify(NotifyType.NatDetectionDestinationIp, bytes(20, 5)),
      notify(NotifyType.FragmentationSupported),
      notify(NotifyType.SignatureHashAlgorithms, fromHex('0002000300040005')),
      { kind: 'vendor-id', id: bytes(16, 6) },
      { kind: 'unknown', type: 200, critical: false, data: bytes(5, 7) },
    ],
  },
  {
    name: 'IKE_AUTH, what is inside',
    exchange: 35,
    payloads: [
      { kind: 'id-i', type: IdType.Fqdn, data: new TextEncoder().encode('pump.example') },
      { kind: 'cert', encoding: CertEncoding.X509Signature, data: bytes(400, 8) },
      { kind: 'cert', encoding: CertEncoding.X509Signature, data: bytes(300, 9) },
      { kind: 'cert-req', encoding: CertEncoding.X509Signature, data: bytes(40, 10) },
      { kind: 'id-r', type: IdType.Ipv6, data: bytes(16, 11) },
      { kind: 'auth', method: AuthMethod.DigitalSignature, data: bytes(84, 12) },
      {
        kind: 'cp',
        type: CpType.Request,
        attributes: [
          { type: CpAttribute.InternalIp4Address, value: nothing },
          { type: CpAttribute.InternalIp6Address, value: bytes(17, 13) },
          { type: CpAttribute.InternalIp4Dns, value: fromHex('0a000001') },
        ],
      },
      {
        kind: 'sa',
        proposals: [{ number: 1, protocol: ProtocolId.Esp, spi: fromHex('c0000001'), transforms: [gcm, esn] }],
      },
      { kind: 'ts-i', selectors: [any4, any6] },
      { kind: 'ts-r', selectors: [any4, any6] },
      notify(NotifyType.InitialContact),
      notify(NotifyType.MobikeSupported),
      notify(NotifyType.TicketRequest),
    ],
  },
  {
    name: 'CREATE_CHILD_SA, what is inside',
    exchange: 36,
    payloads: [
      notify(NotifyType.RekeySa, nothing, fromHex('c0000001')),
      {
        kind: 'sa',
        proposals: [
          { number: 1, protocol: ProtocolId.Esp, spi: fromHex('c0000002'), transforms: [gcm, esn] },
          { number: 2, protocol: ProtocolId.Ike, spi: bytes(8, 14), transforms: [gcm] },
        ],
      },
      { kind: 'nonce', nonce: bytes(256, 15) },
      { kind: 'ke', group: KeyExchangeMethod.EcpP256, data: bytes(64, 16) },
      { kind: 'ts-i', selectors: [any4] },
      { kind: 'ts-r', selectors: [any6] },
    ],
  },
  {
    name: 'INFORMATIONAL, what is inside',
    exchange: 37,
    payloads: [
      { kind: 'delete', protocol: ProtocolId.Esp, spis: [fromHex('c0000001'), fromHex('c0000002')] },
      { kind: 'delete', protocol: ProtocolId.Ike, spis: [] },
      notify(NotifyType.UpdateSaAddresses),
      notify(NotifyType.Cookie2, bytes(16, 17)),
      notify(NotifyType.AdditionalIp6Address, bytes(16, 18)),
      { kind: 'eap', data: bytes(5, 19) },
    ],
  },
  { name: 'an encrypted message', exchange: 35, payloads: [{ kind: 'sk', first: PayloadType.IdI, body: bytes(120, 20) }] },
  {
    name: 'an encrypted fragment',
    exchange: 35,
    payloads: [{ kind: 'skf', first: PayloadType.IdI, number: 1, total: 4, body: bytes(120, 21) }],
  },
]
