import { BrokenFormat, Verdicts } from './verdict.ts'
import { isKindName, judgePath, kindNames, loadKind } from './walk.ts'

const usage = `usage: npm run --silent vectors -- KIND PATH
  KIND  ${kindNames.join(', ')}
  PATH  a file of that kind, or a folder whose files of that kind are judged`

/** 0: nothing failed; 1: a case failed, or the path is no good; 2: the words typed are wrong. */
async function main(words: readonly string[]): Promise<number> {
  const [kindName, path, ...more] = words
  if (kindName === '--help' || kindName === '-h') {
    process.stdout.write(`${usage}\n`)
    return 0
  }
  if (kindName === undefined || path === undefined || more.length > 0 || !isKindName(kindName)) {
    process.stderr.write(`${usage}\n`)
    return 2
  }
  const verdicts = new Verdicts()
  try {
    await judgePath(await loadKind(kindName), kindName, path, verdicts)
  } catch (error) {
    if (!(error instanceof BrokenFormat)) throw error
    process.stderr.write(`vectors: ${error.message}\n`)
    return 1
  }
  process.stdout.write(`${verdicts.report()}\n`)
  return verdicts.failed > 0 ? 1 : 0
}

process.exitCode = await main(process.argv.slice(2))
