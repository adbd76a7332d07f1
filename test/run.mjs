/**
 * node --import … test/run.mjs CONCURRENCY FILE…: Node's own test runner, and one thing more. Files that fail beside others run again,
 * alone: what fails then has failed. What passes then is counted and named at the end, for it saw real time pass on a busy machine, or
 * has a fault that seldom shows. More than `FORGIVEN` such files are no accident.
 */
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const FORGIVEN = 3
const FILE_TIMEOUT_MS = 900_000

/** The files of these that failed. */
async function pass(files, concurrency) {
  const failed = new Set()
  const events = run({ files, concurrency, timeout: FILE_TIMEOUT_MS })
  events.on('test:fail', ({ file, name, todo, skip }) => {
    if (todo === undefined && skip === undefined) failed.add(file ?? name)
  })
  for await (const text of events.compose(new spec())) process.stdout.write(text)
  return [...failed]
}

const [concurrency, ...files] = process.argv.slice(2)
const failed = await pass(files, Number(concurrency))
process.exitCode = failed.length === 0 ? 0 : 1
if (failed.length > FORGIVEN) {
  process.stdout.write(`\n${failed.length} files failed, too many to run again: ${failed.join(' ')}\n`)
} else if (failed.length > 0) {
  process.stdout.write(`\nAgain, alone: ${failed.join(' ')}\n\n`)
  const still = await pass(failed, 1)
  const passed = failed.filter((file) => !still.includes(file))
  if (passed.length > 0) process.stdout.write(`\nFailed beside others and passed alone, ${passed.length}: ${passed.join(' ')}\n`)
  if (still.length > 0) process.stdout.write(`\nFailed twice, ${still.length}: ${still.join(' ')}\n`)
  process.exitCode = still.length === 0 ? 0 : 1
}
