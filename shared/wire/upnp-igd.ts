/**
 * The part of the UPnP Internet Gateway Device (WANIPConnection 1 and 2, WANPPPConnection 1) that maps a port: its place in a device's
 * description, and its actions as SOAP 1.1. The few elements that are needed are found by their names in bounded text; what is none of
 * them is passed over, so no document of a stranger's is ever built up.
 */
export interface IgdService {
  readonly type: string
  /** As the description has it, mostly relative. */
  readonly controlUrl: string
}

/** The best first: version 2 knows more, WANPPPConnection is of old DSL. */
const serviceTypes = [
  'urn:schemas-upnp-org:service:WANIPConnection:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
]

/** Longest document that is read, characters. */
export const longestDocument = 64 * 1024

/** Faults that we answer by asking otherwise (WANIPConnection:1 §2.4.16). */
export const igdFaults = { conflict: 718, onlyPermanent: 725 } as const

/** Undefined where the description names no such service. Never throws. */
export function findIgdService(description: string): IgdService | undefined {
  const services = description
    .slice(0, longestDocument)
    .split(/<service>/i)
    .slice(1)
    .map((part) => ({ type: elementIn(part, 'serviceType'), controlUrl: elementIn(part, 'controlURL') }))
  for (const wanted of serviceTypes) {
    const found = services.find(({ type, controlUrl }) => type === wanted && controlUrl !== undefined && controlUrl !== '')
    if (found?.controlUrl !== undefined) return { type: wanted, controlUrl: found.controlUrl }
  }
  return undefined
}

/** Headers and body of one action. */
export function encodeIgdAction(
  type: string,
  action: string,
  args: Readonly<Record<string, string | number>>,
): { headers: Record<string, string>; body: string } {
  const fields = Object.entries(args).map(([name, value]) => `<${name}>${escaped(String(value))}</${name}>`)
  return {
    headers: { 'content-type': 'text/xml; charset="utf-8"', soapaction: `"${type}#${action}"` },
    body:
      '<?xml version="1.0"?>\r\n' +
      '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">' +
      `<s:Body><u:${action} xmlns:u="${type}">${fields.join('')}</u:${action}></s:Body></s:Envelope>\r\n`,
  }
}

/** The number of a fault; undefined where the text tells of none. */
export function igdFaultOf(body: string): number | undefined {
  const code = elementIn(body.slice(0, longestDocument), 'errorCode')
  return code !== undefined && /^\d{1,4}$/.test(code) ? Number(code) : undefined
}

/** The text of the first element of that name, with or without a prefix; undefined where there is none, or where it has children. */
export function elementIn(text: string, name: string): string | undefined {
  const found = new RegExp(`<(?:\\w{1,20}:)?${name}(?:\\s[^<>]{0,200})?>([^<]{0,1000})</`, 'i').exec(text)?.[1]
  return found?.replace(/&(amp|lt|gt|quot|apos);/g, (_, entity: keyof typeof entities) => entities[entity]).trim()
}

const entities = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" } as const

const escaped = (text: string): string => text.replace(/[&<>]/g, (c) => (c === '&' ? '&amp;' : c === '<' ? '&lt;' : '&gt;'))
