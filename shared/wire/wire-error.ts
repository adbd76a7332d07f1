/** The one error of decoders: a stranger's bytes break a rule of their format, and `code` names it ("stun-length"). */
export { WireError } from '#shared/bytes/wire-error.ts'
