// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/**
 * Text for a person's terminal. What comes from elsewhere (names, values of sensors, audit details) may hold escape codes: control,
 * zero-width and bidirectional characters become `\u{…}`: shown, never obeyed.
 */
export const printable = (text: string): string => text.replace(unprintable, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`)
