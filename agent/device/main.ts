import '#agent/io/small-heap.ts'
import { runDeviceProgram } from './command-line.ts'

await runDeviceProgram(process.argv.slice(2))
