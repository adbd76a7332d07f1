import { fromHex } from '#shared/bytes/hex.ts'

/** The cases of RFC 4231 as cryptography's vectors write them: `Len = bits`, `Key = hex`, `Msg = hex`, `MD = hex`, a file a hash. */
export interface HmacCase {
  readonly key: Uint8Array
  readonly message: Uint8Array
  readonly digest: Uint8Array
}

/** 224, 256, 384 or 512, by the first line and the file's name; undefined where the file is none of these. */
export function rfc4231Hash(path: string, contents: unknown): number | undefined {
  if (!(contents instanceof Uint8Array)) return undefined
  const hash = /rfc-4231-sha(224|256|384|512)\.txt$/.exec(path)?.[1]
  return hash === undefined ? undefined : Number(hash)
}

export function rfc4231Cases(contents: unknown): HmacCase[] {
  const text = new TextDecoder().decode(contents as Uint8Array)
  const cases = [
    ...text.matchAll(/^Len = (\d+)\n(?:#.*\n)*Key = ([0-9a-f]+)\n(?:#.*\n)*Msg = ([0-9a-f]+)\n(?:#.*\n)*MD = ([0-9a-f]+)$/gm),
  ]
  return cases.map(([, bits, key, message, digest]) => ({
    key: fromHex(key!),
    message: fromHex(message!).subarray(0, Number(bits) / 8),
    digest: fromHex(digest!),
  }))
}
