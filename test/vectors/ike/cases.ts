import { type Fields, isFields, isFieldsArray } from '../fields.ts'

/** strongSwan's test vectors as JSON: `{note, family: [{id, kind, alg | method, …}], …}`. The cases of these kinds, in their order. */
export function casesIn(contents: unknown, kinds: readonly string[]): Fields[] {
  if (!isFields(contents)) return []
  return Object.values(contents)
    .filter(isFieldsArray)
    .flatMap((family) => family.filter(({ kind, id }) => typeof id === 'string' && kinds.includes(String(kind))))
}
