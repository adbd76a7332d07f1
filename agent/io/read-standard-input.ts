import { AditError } from '#shared/errors.ts'

/** Standard input to its end, of `limit` bytes at most. Throws AditError `usage`. */
export async function readStandardInput(limit: number): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of process.stdin) {
    chunks.push(chunk)
    length += chunk.length
    if (length > limit)
      throw new AditError('usage', 'Standard input is too long to be what is asked for.', 'Pipe in the one file alone.')
  }
  return Buffer.concat(chunks, length)
}
