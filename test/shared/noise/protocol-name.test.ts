import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseProtocolName } from '#shared/noise/protocol-name.ts'

test('a name is taken apart', () => {
  assert.deepEqual(parseProtocolName('Noise_X1X1psk0+psk3_25519_AESGCM_SHA512'), {
    text: 'Noise_X1X1psk0+psk3_25519_AESGCM_SHA512',
    pattern: 'X1X1',
    modifiers: ['psk0', 'psk3'],
    dh: '25519',
    cipher: 'AESGCM',
    hash: 'SHA512',
  })
  assert.deepEqual(parseProtocolName('Noise_XXfallback_448_ChaChaPoly_BLAKE2b').modifiers, ['fallback'])
})

test('what is no name is refused', () => {
  const names = ['', 'Noise_XX_25519_ChaChaPoly', 'noise_XX_25519_ChaChaPoly_BLAKE2s', 'NoisePSK_XX_25519_ChaChaPoly_BLAKE2s']
  for (const name of [...names, 'Noise_XX_25519_ChaChaPoly_BLAKE2s_', `Noise_XX_25519_ChaChaPoly_${'A'.repeat(240)}`])
    assert.throws(() => parseProtocolName(name), { name: 'NoiseError', code: 'name' }, name)
})
