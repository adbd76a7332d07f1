import { type Fields, isFields, isFieldsArray, optionalText } from './fields.ts'
import { BrokenFormat, type Verdicts } from './verdict.ts'
import { judgeEcdh, judgeXdh } from './wycheproof/agreement.ts'
import type { GroupJudge } from './wycheproof/group.ts'
import { judgeEcdsa, judgeEddsa, judgeRsa } from './wycheproof/signatures.ts'
import { judgeAead, judgeCbc, judgeHkdf, judgeMac } from './wycheproof/symmetric.ts'

/** By the `type` of a group, in the spellings of all versions of the files. */
const judges: Readonly<Record<string, GroupJudge>> = {
  AeadTest: judgeAead,
  IndCpaTest: judgeCbc,
  MacTest: judgeMac,
  HkdfTest: judgeHkdf,
  XdhComp: judgeXdh('raw'),
  XdhAsnComp: judgeXdh('der'),
  XdhPemComp: judgeXdh('pem'),
  XdhJwkComp: judgeXdh('jwk'),
  EcdhTest: judgeEcdh('der'),
  EcdhEcpointTest: judgeEcdh('point'),
  EcdhWebcryptoTest: judgeEcdh('jwk'),
  EcdsaVerify: judgeEcdsa('DER'),
  EcdsaP1363Verify: judgeEcdsa('P1363'),
  EddsaVerify: judgeEddsa,
  RsassaPkcs1Verify: judgeRsa('pkcs1'),
  RsassaPssVerify: judgeRsa('pss'),
}

/** C2SP Wycheproof: `{algorithm, schema, testGroups: [{type, …, tests: [{tcId, result, …}]}]}`. */
export function recognises(_path: string, contents: unknown): boolean {
  return isFields(contents) && Array.isArray(contents.testGroups)
}

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !isFieldsArray(contents.testGroups)) throw new BrokenFormat(`${path} has no testGroups`)
  const algorithm = optionalText(contents, 'algorithm') ?? '(no algorithm named)'
  for (const group of contents.testGroups) {
    if (!isFieldsArray(group.tests)) throw new BrokenFormat(`${path} has a group without tests`)
    const type = optionalText(group, 'type') ?? '(no type)'
    const groupJudge = judges[type]
    if (groupJudge === undefined) {
      verdicts.skip(`${algorithm} (${type}) is not in the crypto port, or not in this form`, group.tests.length)
      continue
    }
    for (const test of group.tests) judgeCase(path, algorithm, group, test, groupJudge, verdicts)
  }
}

function judgeCase(
  path: string,
  algorithm: string,
  group: Fields,
  test: Fields,
  groupJudge: GroupJudge,
  verdicts: Verdicts,
): void {
  const id = `tcId ${String(test.tcId)} ${optionalText(test, 'comment') ?? ''}`.trim()
  const expected = test.result
  if (expected !== 'valid' && expected !== 'invalid' && expected !== 'acceptable') {
    verdicts.fail(path, id, `the result "${String(expected)}" is none of valid, invalid, acceptable`)
    return
  }
  const flags = Array.isArray(test.flags) ? test.flags.filter((flag) => typeof flag === 'string') : []
  verdicts.settle(path, id, () => groupJudge({ algorithm, group, test, expected, flags }))
}
