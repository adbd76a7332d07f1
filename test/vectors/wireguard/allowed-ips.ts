import { RouteTable } from '#shared/dataplane/route-table.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import { isFields, isFieldsArray, optionalText, textField } from '../fields.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'

/** The kernel's allowedips self-test: `{steps: [{op: insert|lookup|remove|removePeer|clear, …}]}`. Each look-up is a case. */
export const recognises = (_path: string, contents: unknown): boolean =>
  isFields(contents) && isFieldsArray(contents.steps) && contents.steps.some(({ op }) => op === 'insert' || op === 'lookup')

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !isFieldsArray(contents.steps)) throw new BrokenFormat(`${path} has no steps`)
  let table = new RouteTable<string>()
  for (const [index, step] of contents.steps.entries()) {
    const op = textField(step, 'op')
    if (op === 'insert') table.insert(textField(step, 'cidr'), textField(step, 'peer'))
    else if (op === 'remove') table.remove(textField(step, 'cidr'))
    else if (op === 'removePeer') table.removeValue(textField(step, 'peer'))
    else if (op === 'clear') table = new RouteTable()
    else if (op !== 'lookup') throw new BrokenFormat(`${path} has a step ${op}`)
    else {
      const ip = textField(step, 'ip')
      verdicts.settle(path, `${index} ${ip}`, () => {
        const found = table.lookup(parseAddress(ip))
        const not = optionalText(step, 'expectNot')
        if (not !== undefined) return found === not ? `it leads to ${found}` : undefined
        const expected = optionalText(step, 'expect')
        return found === expected ? undefined : `it leads to ${found ?? 'nobody'}, not to ${expected ?? 'nobody'}`
      })
    }
  }
}
