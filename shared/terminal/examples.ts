/** What stands below the help of a verb: the heading, and one command a line. */
export const examplesText = (examples: readonly string[]): string =>
  `\nExamples:\n${examples.map((example) => `  ${example}\n`).join('')}`
