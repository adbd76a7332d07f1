import { runOperator } from '#agent/operator/command-line.ts'

await runOperator(process.argv.slice(2))
