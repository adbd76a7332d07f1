import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { isAditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { judgeTime, signedTimeFromJson, TIME_NONCE_LENGTH } from '#shared/pki/signed-time.ts'
import { HttpsClient } from '#shared/platform/tls.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { documentOf, firstThatAnswers, type Requester } from './broker-api.ts'

export interface TimeQuestion {
  readonly urls: readonly string[]
  /** DER of the roots, one of which the signer is under. */
  readonly roots: readonly Uint8Array[]
  readonly floor: WallTime
  readonly suite: Suite
  /** The way that is mostly open: the same connection serves what comes next. */
  readonly https: Requester
  /** How hosts are reached without it. */
  readonly reach: Omit<ConstructorParameters<typeof HttpsClient>[0], 'trust' | 'suite' | 'time' | 'identity'>
}

const PATIENCE_MS = 6_000

/**
 * What time it is, under the signature of a server of the fleet. Where TLS with that server is refused, for what the floor says of its
 * certificate, the question is asked in TLS with nobody in particular: the answer speaks for itself. Throws AditError or PkiError.
 */
export async function askTime(question: TimeQuestion): Promise<WallTime> {
  const { urls, roots, floor, suite, https } = question
  const nonce = suite.random(TIME_NONCE_LENGTH)
  const ask = async (requester: Requester): Promise<WallTime> => {
    const document = await firstThatAnswers(urls, async (url) =>
      documentOf(await requester.request({ url: `${url}/v1/time?nonce=${toHex(nonce)}`, timeoutMs: PATIENCE_MS })),
    )
    return judgeTime(signedTimeFromJson(document), { nonce, roots: roots.map((der) => parseCertificate(der)), floor }, suite)
  }
  try {
    return await ask(https)
  } catch (error) {
    if (!isAditError(error) || error.code !== 'certificate-refused') throw error
    const open = new HttpsClient({ ...question.reach, suite, trust: 'nobody', time: () => floor })
    try {
      return await ask(open)
    } finally {
      open.close()
    }
  }
}
