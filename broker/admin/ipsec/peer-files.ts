import { encodePem } from '#shared/pki/pem.ts'
import { libreswanConf, libreswanSecrets } from './libreswan-conf.ts'
import { parameterSheet } from './parameter-sheet.ts'
import { files, type PeerSheet } from './peer-sheet.ts'
import { swanctlConf } from './swanctl-conf.ts'

/** A file of the folder: its path there, and what is in it. */
export interface PeerFile {
  readonly path: string
  readonly text: string
}

/** DER. */
export interface PeerCertificates {
  /** The peer's own; undefined where it has a pre-shared key. */
  readonly leaf: Uint8Array | undefined
  /** CAs: of devices, of brokers, and the root. */
  readonly issuer: Uint8Array
  readonly server: Uint8Array
  readonly root: Uint8Array
}

/** Everything in the folder but the private key, which is not the broker's to know. */
export function peerFiles(sheet: PeerSheet, { leaf, issuer, server, root }: PeerCertificates): PeerFile[] {
  const certificate = (path: string, der: Uint8Array): PeerFile => ({ path, text: encodePem('CERTIFICATE', der) })
  const secrets = libreswanSecrets(sheet)
  return [
    ...(leaf
      ? [
          certificate(files.certificate, leaf),
          certificate(files.root, root),
          certificate(files.issuer, issuer),
          certificate(files.server, server),
        ]
      : []),
    { path: files.libreswan, text: libreswanConf(sheet) },
    ...(secrets === undefined ? [] : [{ path: files.libreswanSecrets, text: secrets }]),
    { path: files.parameters, text: parameterSheet(sheet) },
    // Last: a folder without it is not taken for a whole one.
    { path: files.swanctl, text: swanctlConf(sheet) },
  ]
}
