/** What is measured, in the order in which it is printed. Figures of one name have one meaning for all contenders. */
export interface Figure {
  readonly name: string
  readonly unit: string
  /** Which is good: it decides how a bar is read. */
  readonly better: 'more' | 'less'
}

const figure = (name: string, unit: string, better: Figure['better']): Figure => ({ name, unit, better })

const ways = ['a-to-b', 'b-to-a'] as const

const pings = (name: string): Figure[] =>
  ['idle', 'loaded'].flatMap((when) => [
    figure(`${name} ${when} p50`, 'ms', 'less'),
    figure(`${name} ${when} p99`, 'ms', 'less'),
    figure(`${name} ${when} lost`, '%', 'less'),
  ])

export const pairFigures: readonly Figure[] = [
  ...ways.map((way) => figure(`tcp 1 ${way}`, 'Gbit/s', 'more')),
  ...ways.map((way) => figure(`tcp 8 ${way}`, 'Gbit/s', 'more')),
  ...ways.flatMap((way) => [figure(`cpu sender ${way}`, 's/GB', 'less'), figure(`cpu receiver ${way}`, 's/GB', 'less')]),
  ...[1400, 64].flatMap((bytes) => [
    ...ways.map((way) => figure(`udp ${bytes} ${way}`, 'kpps', 'more')),
    ...ways.map((way) => figure(`udp ${bytes} ${way} of a flood`, 'kpps', 'more')),
  ]),
  ...pings('ping'),
  figure('resident a', 'MB', 'less'),
  figure('resident b', 'MB', 'less'),
  figure('pss a', 'MB', 'less'),
  figure('pss b', 'MB', 'less'),
]

export const relayFigures: readonly Figure[] = [
  ...ways.map((way) => figure(`relay tcp 1 ${way}`, 'Gbit/s', 'more')),
  ...ways.map((way) => figure(`relay cpu hop ${way}`, 's/GB', 'less')),
  figure('relay opaque a-to-b', 'Gbit/s', 'more'),
  figure('relay opaque cpu hop', 's/GB', 'less'),
  ...[1400, 64].flatMap((bytes) => [
    figure(`relay udp ${bytes} a-to-b`, 'kpps', 'more'),
    figure(`relay udp ${bytes} a-to-b of a flood`, 'kpps', 'more'),
  ]),
  ...pings('relay ping'),
  figure('relay resident hop', 'MB', 'less'),
]

/** What every ratio is against. */
export const measureOfAll = { pair: 'wireguard-go', relay: 'wireguard-go-relay' } as const

export interface Bar {
  readonly contender: string
  /** Of the figures that begin so. */
  readonly figures: RegExp
  /** In ratios to wireguard-go's, or in the figure's own unit. */
  readonly of: 'ratio' | 'value'
  readonly at: number
}

/** What issue 5 asks for. */
export const bars: readonly Bar[] = [
  { contender: 'adit-esp', figures: /^tcp 1 /, of: 'ratio', at: 6 },
  { contender: 'adit-noise', figures: /^tcp 1 /, of: 'ratio', at: 5 },
  { contender: 'adit-esp', figures: /^cpu /, of: 'ratio', at: 1 / 6 },
  { contender: 'adit-noise', figures: /^cpu /, of: 'ratio', at: 1 / 4.5 },
  ...['adit-esp', 'adit-noise'].flatMap((contender): Bar[] => [
    { contender, figures: /^udp 64 /, of: 'ratio', at: 1.5 },
    { contender, figures: /^ping idle p50$|^ping loaded p99$/, of: 'ratio', at: 1 },
    { contender, figures: /^resident a$/, of: 'value', at: 70 },
  ]),
  ...['adit-relay', 'adit-relay-esp'].flatMap((contender): Bar[] => [
    { contender, figures: /^relay tcp /, of: 'ratio', at: 3 },
    { contender, figures: /^relay cpu /, of: 'ratio', at: 1 / 3 },
    { contender, figures: /^relay opaque a-to-b$/, of: 'ratio', at: 5 },
    { contender, figures: /^relay opaque cpu /, of: 'ratio', at: 1 / 5 },
  ]),
]
