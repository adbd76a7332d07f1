import { shellWord } from '#shared/terminal/shell-word.ts'

/** What a person types after a board has got its identity in this folder. */
export const runNext = (folder: string): string => `Now: adit-agent run --state ${shellWord(folder)}`
