import { z } from 'zod'
import { escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import type { Office } from './office.ts'

/** One thing that an administrator can ask for: checked arguments in, a JSON document out. */
export interface Operation {
  /** Throws AditError `usage` where the arguments are not of its shape. */
  run(office: Office, args: unknown): Promise<unknown>
}

/** An operation whose arguments are what `schema` lets through. */
export function operation<Schema extends z.ZodType>(
  schema: Schema,
  run: (office: Office, args: z.output<Schema>) => Promise<unknown> | unknown,
): Operation {
  return {
    async run(office, args) {
      const parsed = schema.safeParse(args)
      if (parsed.success) return run(office, parsed.data)
      const issue = parsed.error.issues[0]
      const place = issue?.path.length ? `${issue.path.join('.')}: ` : ''
      throw new AditError(
        'usage',
        `${place}${escapeText(issue?.message ?? 'not usable')}.`,
        'Add --help to see what the command takes.',
      )
    },
  }
}

export const labels = z.array(z.string()).default([])
export const nothing = z.strictObject({}).default({})
/** Wall-clock ms or a span of ms. */
export const milliseconds = z.int().min(0)
