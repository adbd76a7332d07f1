import { AditError } from '#shared/errors.ts'

/** Where the page is: `PORT` or `ADDR:PORT`; without an address this machine alone sees it. Throws AditError `usage`. */
export function parsePagePlace(text: string): { host: string; port: number } {
  const [, bracketed, plain, digits] = /^(?:(?:\[([0-9a-f:.]+)\]|([0-9a-z.-]+)):)?(\d{1,5})$/i.exec(text) ?? []
  const port = Number(digits ?? 65_536)
  if (port <= 65_535) return { host: bracketed ?? plain ?? '127.0.0.1', port }
  throw new AditError('usage', `"${text}" is no place for a page.`, 'Write PORT or ADDRESS:PORT, as in --page 192.168.1.10:8090.')
}
