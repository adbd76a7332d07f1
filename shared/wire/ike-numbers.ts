/** Numbers of IKEv2 and ESP as IANA registers them (RFC 7296 §3 and its successors), under the names of the registry. */

export const ExchangeType = { IkeSaInit: 34, IkeAuth: 35, CreateChildSa: 36, Informational: 37, IkeSessionResume: 38 } as const

/** Bits of the header's flags (RFC 7296 §3.1). */
export const HeaderFlag = { Initiator: 0x08, Version: 0x10, Response: 0x20 } as const

export const PayloadType = {
  None: 0,
  Sa: 33,
  Ke: 34,
  IdI: 35,
  IdR: 36,
  Cert: 37,
  CertReq: 38,
  Auth: 39,
  Nonce: 40,
  Notify: 41,
  Delete: 42,
  VendorId: 43,
  TsI: 44,
  TsR: 45,
  Sk: 46,
  Cp: 47,
  Eap: 48,
  Skf: 53,
} as const

/** Security protocol identifiers (RFC 7296 §3.3.1). */
export const ProtocolId = { None: 0, Ike: 1, Ah: 2, Esp: 3 } as const

/** Transform types (RFC 7296 §3.3.2). */
export const TransformType = { Encryption: 1, Prf: 2, Integrity: 3, KeyExchange: 4, Esn: 5 } as const

/** ENCR_*: what is offered, and what is refused by name. */
export const Encryption = {
  Des: 2,
  TripleDes: 3,
  Null: 11,
  AesCbc: 12,
  AesCtr: 13,
  AesCcm8: 14,
  AesCcm12: 15,
  AesCcm16: 16,
  AesGcm8: 18,
  AesGcm12: 19,
  AesGcm16: 20,
  NullAuthAesGmac: 21,
  ChaCha20Poly1305: 28,
} as const

export const Prf = { HmacMd5: 1, HmacSha1: 2, AesXcbc: 4, HmacSha256: 5, HmacSha384: 6, HmacSha512: 7, AesCmac: 8 } as const

export const Integrity = {
  None: 0,
  HmacMd5_96: 1,
  HmacSha1_96: 2,
  AesXcbc96: 5,
  AesCmac96: 8,
  HmacSha256_128: 12,
  HmacSha384_192: 13,
  HmacSha512_256: 14,
} as const

/** Key exchange methods, formerly Diffie-Hellman groups. */
export const KeyExchangeMethod = {
  None: 0,
  Modp768: 1,
  Modp1024: 2,
  Modp1536: 5,
  Modp2048: 14,
  Modp3072: 15,
  Modp4096: 16,
  Modp6144: 17,
  Modp8192: 18,
  EcpP256: 19,
  EcpP384: 20,
  EcpP521: 21,
  Modp1024s160: 22,
  Modp2048s224: 23,
  Modp2048s256: 24,
  Curve25519: 31,
  Curve448: 32,
} as const

export const Esn = { No: 0, Yes: 1 } as const

/** Identification types (RFC 7296 §3.5). */
export const IdType = { Ipv4: 1, Fqdn: 2, Rfc822: 3, Ipv6: 5, DerAsn1Dn: 9, DerAsn1Gn: 10, KeyId: 11 } as const

export const CertEncoding = { X509Signature: 4, Crl: 7, HashAndUrl: 12, HashAndUrlBundle: 13 } as const

export const AuthMethod = {
  RsaSignature: 1,
  SharedKey: 2,
  EcdsaSha256P256: 9,
  EcdsaSha384P384: 10,
  EcdsaSha512P521: 11,
  Null: 13,
  DigitalSignature: 14,
} as const

/** Hashes of SIGNATURE_HASH_ALGORITHMS (RFC 7427 §4, RFC 8420 §2). */
export const HashAlgorithm = { Sha1: 1, Sha256: 2, Sha384: 3, Sha512: 4, Identity: 5 } as const

export const TsType = { Ipv4Range: 7, Ipv6Range: 8 } as const

export const CpType = { Request: 1, Reply: 2, Set: 3, Ack: 4 } as const

export const CpAttribute = {
  InternalIp4Address: 1,
  InternalIp4Netmask: 2,
  InternalIp4Dns: 3,
  InternalIp6Address: 8,
  InternalIp6Dns: 10,
  InternalIp4Subnet: 13,
  InternalIp6Subnet: 15,
} as const

/** Notify message types: errors below 16384, status from there on. */
export const NotifyType = {
  UnsupportedCriticalPayload: 1,
  InvalidIkeSpi: 4,
  InvalidMajorVersion: 5,
  InvalidSyntax: 7,
  InvalidMessageId: 9,
  InvalidSpi: 11,
  NoProposalChosen: 14,
  InvalidKePayload: 17,
  AuthenticationFailed: 24,
  SinglePairRequired: 34,
  NoAdditionalSas: 35,
  InternalAddressFailure: 36,
  FailedCpRequired: 37,
  TsUnacceptable: 38,
  InvalidSelectors: 39,
  UnacceptableAddresses: 40,
  UnexpectedNatDetected: 41,
  TemporaryFailure: 43,
  ChildSaNotFound: 44,
  InitialContact: 16384,
  SetWindowSize: 16385,
  AdditionalTsPossible: 16386,
  IpcompSupported: 16387,
  NatDetectionSourceIp: 16388,
  NatDetectionDestinationIp: 16389,
  Cookie: 16390,
  UseTransportMode: 16391,
  HttpCertLookupSupported: 16392,
  RekeySa: 16393,
  EspTfcPaddingNotSupported: 16394,
  NonFirstFragmentsAlso: 16395,
  MobikeSupported: 16396,
  AdditionalIp4Address: 16397,
  AdditionalIp6Address: 16398,
  NoAdditionalAddresses: 16399,
  UpdateSaAddresses: 16400,
  Cookie2: 16401,
  NoNatsAllowed: 16402,
  AuthLifetime: 16403,
  MultipleAuthSupported: 16404,
  RedirectSupported: 16406,
  Redirect: 16407,
  RedirectedFrom: 16408,
  TicketLtOpaque: 16409,
  TicketRequest: 16410,
  TicketAck: 16411,
  TicketNack: 16412,
  TicketOpaque: 16413,
  EapOnlyAuthentication: 16417,
  ChildlessSupported: 16418,
  FragmentationSupported: 16430,
  SignatureHashAlgorithms: 16431,
  UsePpk: 16435,
  PpkIdentity: 16436,
  NoPpkAuth: 16437,
} as const
