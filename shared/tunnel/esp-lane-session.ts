import type { ChildSaKeys, EspAlgorithms } from '#shared/ikev2/ike-output.ts'
import { Encryption } from '#shared/wire/ike-numbers.ts'
import type { LaneAlgorithm, LaneSession } from './data-lane.ts'
import { ESP_SALT_LENGTH } from './esp-nonce.ts'

type LaneChild = Omit<LaneSession, 'association' | 'suite' | 'innerMtu' | 'otherTraffic'>

/** A Child SA as a data lane takes it, on the memory of its keys; undefined where its algorithms are none of a lane's. */
export function espLaneSession({ algorithms, inbound, outbound, esn }: ChildSaKeys): LaneChild | undefined {
  const algorithm = laneAlgorithm(algorithms)
  if (algorithm === undefined) return undefined
  return {
    local: inbound.spi,
    remote: outbound.spi,
    algorithm,
    sendKey: outbound.encryption.subarray(0, -ESP_SALT_LENGTH),
    receiveKey: inbound.encryption.subarray(0, -ESP_SALT_LENGTH),
    sendSalt: outbound.encryption.subarray(-ESP_SALT_LENGTH),
    receiveSalt: inbound.encryption.subarray(-ESP_SALT_LENGTH),
    firstNumber: 1,
    esn,
    expiresAt: undefined,
  }
}

const gcm: Readonly<Record<number, LaneAlgorithm>> = { 128: 'aes-128-gcm', 192: 'aes-192-gcm', 256: 'aes-256-gcm' }

function laneAlgorithm({ encryption, keyLength }: EspAlgorithms): LaneAlgorithm | undefined {
  if (encryption === Encryption.ChaCha20Poly1305) return 'chacha20-poly1305'
  return encryption === Encryption.AesGcm16 && keyLength !== undefined ? gcm[keyLength] : undefined
}
