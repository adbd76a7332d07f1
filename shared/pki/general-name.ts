import { ascii, type DerReader, type Element } from '#shared/pki/der.ts'
import { parseName, type RelativeName } from '#shared/pki/distinguished-name.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/** A GeneralName (RFC 5280 §4.2.1.6). Text forms are ASCII without control characters; what they mean is judged where they are used. */
export type GeneralName =
  | { readonly kind: 'dns' | 'email' | 'uri'; readonly value: string }
  /** 4 or 16 bytes in a name, 8 or 32 (address and mask) in a constraint. */
  | { readonly kind: 'ip'; readonly bytes: Uint8Array }
  | { readonly kind: 'directory'; readonly name: readonly RelativeName[] }
  /** otherName, x400Address, ediPartyName, registeredID: carried, never understood. */
  | { readonly kind: 'other'; readonly tag: number }

/** Most names in one list: beyond lies a stranger who wants us to compare millions. */
const listLimit = 4096

export function parseGeneralName(element: Element): GeneralName {
  switch (element.tag) {
    case 0x81:
      return { kind: 'email', value: ia5(element.content) }
    case 0x82:
      return { kind: 'dns', value: ia5(element.content) }
    case 0x86:
      return { kind: 'uri', value: ia5(element.content) }
    case 0x87:
      return { kind: 'ip', bytes: element.content }
    case 0xa4:
      // [4] is explicit, since Name is a CHOICE.
      return { kind: 'directory', name: parseName(element.content) }
    case 0xa0:
    case 0xa3:
    case 0xa5:
    case 0x88:
      return { kind: 'other', tag: element.tag }
    default:
      throw new PkiError('extension-malformed', `a general name of tag ${element.tag.toString(16)}`)
  }
}

/** GeneralNames ::= SEQUENCE SIZE (1..MAX); `reader` stands inside the SEQUENCE. */
export function parseGeneralNames(reader: DerReader): readonly GeneralName[] {
  const list: GeneralName[] = []
  while (!reader.done) {
    if (list.length >= listLimit) throw new PkiError('too-large', `more than ${listLimit} names in one list`)
    list.push(parseGeneralName(reader.next()))
  }
  if (list.length === 0) throw new PkiError('extension-malformed', 'an empty list of names')
  return list
}

function ia5(content: Uint8Array): string {
  const text = ascii(content)
  if (/[^\x20-\x7e]/.test(text)) throw new PkiError('name-malformed', 'a name with a control or non-ASCII character')
  return text
}
