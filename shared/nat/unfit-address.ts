import { contains, parseCidr } from '#shared/wire/ip-address.ts'

/**
 * Where no datagram goes on another end's word: this host, everybody, nobody, the metadata services of clouds (which lie in
 * link-local IPv4, and at fd00:ec2::254), and link-local IPv6, which means nothing without an interface.
 */
const unfit = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '192.0.0.0/29',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/127',
  '::ffff:0:0/96',
  '64:ff9b::/96',
  'fe80::/10',
  'ff00::/8',
  'fd00:ec2::/32',
].map(parseCidr)

/** `address`: 4 or 16 bytes. */
export const isUnfitForProbes = (address: Uint8Array): boolean => unfit.some((cidr) => contains(cidr, address))
