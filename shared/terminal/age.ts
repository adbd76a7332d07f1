/** `3 s ago`, `12 min ago`, `5 h ago`, `9 d ago`; `-` where it never was. */
export function age(seconds: number | null | undefined): string {
  return seconds === null || seconds === undefined ? '-' : `${span(seconds)} ago`
}

/** The largest unit that gives at least 2 of it. */
export function span(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}
