import { runCommandLine } from '#broker/cli/command-line.ts'
import { systemTerminal } from '#broker/cli/io/system-terminal.ts'

// `adit-broker … | head` closes our output: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
process.exitCode = await runCommandLine(process.argv.slice(2), systemTerminal)
