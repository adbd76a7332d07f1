import { AditError } from '#shared/errors.ts'

/** A token is some 200 characters; whoever pipes in a film gets a sentence. */
const LIMIT = 8192

/** The token as it was typed, or from standard input for `-`, so that no secret need stand in a process list. */
export async function readToken(flag: string): Promise<string> {
  if (flag !== '-') return flag
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of process.stdin) {
    chunks.push(chunk)
    length += chunk.length
    if (length > LIMIT)
      throw new AditError('claim-malformed', 'Standard input is no claim token: it is too long.', 'Pipe in the token alone.')
  }
  return Buffer.concat(chunks).toString('utf8').trim()
}
