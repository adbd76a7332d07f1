import assert from 'node:assert/strict'
import test from 'node:test'
import { importsOf, sourceFiles } from '#test/house/source-files.ts'

interface Arrow {
  from: readonly string[]
  forbidden: readonly string[]
  because: string
}

const leaves = [
  'shared/bytes/',
  'shared/time/',
  'shared/terminal/',
  'shared/errors.ts',
  'shared/machine.ts',
  'shared/drop-reason.ts',
]
const layer1 = ['shared/wire/', 'shared/crypto/']
const layer2 = ['shared/noise/', 'shared/ikev2/', 'shared/pki/', 'shared/telemetry/']
const layer3 = ['shared/tunnel/', 'shared/nat/', 'shared/netstack/', 'shared/enrolment/', 'shared/fleet/']
const layer4 = ['shared/dataplane/']
const platform = ['shared/platform/']
const programs = ['agent/', 'broker/']
const outer = ['firmware-sim/', 'test/']

const arrows: readonly Arrow[] = [
  {
    from: leaves,
    forbidden: [...layer1, ...layer2, ...layer3, ...layer4, ...platform, ...programs, ...outer],
    because: 'leaves know nothing above them, so that everything may use them',
  },
  {
    from: layer1,
    forbidden: [...layer2, ...layer3, ...layer4, ...platform, ...programs, ...outer],
    because: 'a wire format or a primitive has no opinion about the protocol that uses it',
  },
  {
    from: layer2,
    forbidden: [...layer3, ...layer4, ...platform, ...programs, ...outer],
    because: 'handshakes, certificates and readings are values; tunnels and stacks are built on them, not the reverse',
  },
  {
    from: layer3,
    forbidden: [...layer4, ...platform, ...programs, ...outer],
    because: 'a tunnel or a stack must run in virtual time: no data plane, no socket, no disk below it',
  },
  {
    from: layer4,
    forbidden: [...platform, ...programs, ...outer],
    because: 'a second engine must be able to stand beside the portable one without touching the data plane',
  },
  { from: platform, forbidden: [...programs, ...outer], because: 'the platform serves both programs and knows neither' },
  { from: ['agent/'], forbidden: ['broker/', ...outer], because: 'agent and broker agree only on what is in shared' },
  { from: ['broker/'], forbidden: ['agent/', ...outer], because: 'agent and broker agree only on what is in shared' },
  {
    from: ['firmware-sim/'],
    forbidden: ['broker/', 'test/'],
    because: 'the simulator is a fleet of agents; its broker is the real one',
  },
  {
    from: ['agent/core/'],
    forbidden: [
      'shared/platform/',
      'agent/io/',
      'agent/device/',
      'agent/operator/',
      'node:fs',
      'node:net',
      'node:dgram',
      'node:tls',
    ],
    because: 'thousands of agent cores run in one simulated process under virtual time',
  },
  {
    from: [
      'shared/bytes/',
      'shared/time/',
      'shared/wire/',
      'shared/noise/',
      'shared/ikev2/',
      'shared/tunnel/',
      'shared/nat/',
      'shared/dataplane/',
    ],
    forbidden: [
      'node:fs',
      'node:net',
      'node:dgram',
      'node:tls',
      'node:http',
      'node:https',
      'node:crypto',
      'node:child_process',
      'node:os',
      'node:dns',
    ],
    because: 'pure cores touch no machine; randomness comes through the crypto port',
  },
]

for (const { from, forbidden, because } of arrows) {
  test(`${from.join(' ')} import nothing of ${forbidden.join(' ')}: ${because}`, () => {
    const broken = sourceFiles('shared', 'agent', 'broker', 'firmware-sim')
      .filter(({ path }) => from.some((prefix) => path.startsWith(prefix)))
      .flatMap((file) => importsOf(file).map((target) => ({ path: file.path, target })))
      .filter(({ target }) => forbidden.some((prefix) => target.startsWith(prefix)))
      .map(({ path, target }) => `${path} imports ${target}`)
    assert.deepEqual(broken, [], because)
  })
}

test('every folder of the source says in a README what lives there', async () => {
  const { existsSync } = await import('node:fs')
  const folders = new Set(
    sourceFiles('shared', 'agent', 'broker', 'firmware-sim')
      .map(({ path }) => path.split('/').slice(0, -1).join('/'))
      .filter((folder) => folder.split('/').length <= 2 && !folder.endsWith('/io') && !folder.endsWith('/bin')),
  )
  const bare = [...folders].filter((folder) => !existsSync(`${import.meta.dirname}/../../${folder}/README.md`))
  assert.deepEqual(bare, [])
})
