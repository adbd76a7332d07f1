import type { Command } from 'commander'
import { formatDuration } from '#shared/time/duration-text.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker config show`: what holds, defaults included. */
export function configShow(parent: Command, terminal: Terminal): void {
  verb(parent, 'show', 'the configuration that holds, defaults included', ['adit-broker config show']).action(
    async (options: CommonOptions) => {
      const desk = deskOf(terminal, options)
      const { path, text } = await desk.configFile()
      const config = await desk.config()
      const { formatProposal } = await import('#shared/ikev2/proposal.ts')
      const { ipsec } = config
      const shown = {
        ...config,
        ipsec: {
          ...ipsec,
          ikeProposals: ipsec.ikeProposals.map(formatProposal),
          espProposals: ipsec.espProposals.map(formatProposal),
        },
        keepalive: formatDuration(config.keepalive),
        telemetryKeep: formatDuration(config.telemetryKeep),
      }
      desk.print({ file: text === undefined ? null : path, ...shown }, ({ ipsec: nested, ...facts }) =>
        [...Object.entries(facts), ...Object.entries(nested).map(([key, value]) => [`ipsec.${key}`, value] as const)]
          .map(([key, value]) => `${key.padEnd(20)}${Array.isArray(value) ? value.join(' ') || '-' : (value ?? '-')}\n`)
          .join(''),
      )
    },
  )
}
