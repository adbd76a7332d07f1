import { existsSync } from 'node:fs'

/** A sentence unless the program is there: an absolute path, or a name that is looked for as a shell of root does. */
export function lackingProgram(program: string, debianPackage: string): string | undefined {
  const places = program.startsWith('/')
    ? ['']
    : ['/usr/local/sbin/', '/usr/local/bin/', '/usr/sbin/', '/usr/bin/', '/sbin/', '/bin/']
  if (places.some((place) => existsSync(`${place}${program}`))) return undefined
  return `${program} is not here: the Debian package ${debianPackage} could not be installed.`
}
