import { NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { findNotify, hasNotify } from './notify.ts'
import { decodeHashAlgorithms } from './signature-scheme.ts'

/** What the peer has said that it can do. */
export interface PeerAbilities {
  /** RFC 7383. */
  fragments: boolean
  /** RFC 6023. */
  childless: boolean
  /** RFC 4555. */
  mobike: boolean
  /** RFC 5685. */
  redirect: boolean
  /** RFC 7296 §1.3.1: packets with TFC padding are not for it. */
  tfcRefused: boolean
  /** Of SIGNATURE_HASH_ALGORITHMS (RFC 7427); undefined: it sent none. */
  hashes: readonly number[] | undefined
}

export const noAbilities = (): PeerAbilities => ({
  fragments: false,
  childless: false,
  mobike: false,
  redirect: false,
  tfcRefused: false,
  hashes: undefined,
})

/** Adds what a message of the first two exchanges says. */
export function readAbilities(abilities: PeerAbilities, payloads: readonly IkePayload[]): void {
  abilities.fragments ||= hasNotify(payloads, NotifyType.FragmentationSupported)
  abilities.childless ||= hasNotify(payloads, NotifyType.ChildlessSupported)
  abilities.mobike ||= hasNotify(payloads, NotifyType.MobikeSupported)
  abilities.redirect ||= hasNotify(payloads, NotifyType.RedirectSupported)
  abilities.tfcRefused ||= hasNotify(payloads, NotifyType.EspTfcPaddingNotSupported)
  const hashes = findNotify(payloads, NotifyType.SignatureHashAlgorithms)
  if (hashes !== undefined) abilities.hashes = decodeHashAlgorithms(hashes.data)
}
