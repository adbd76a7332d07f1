import { ikePath, serverPath } from '#broker/identity/ca-files.ts'
import { type IkeIdentity, ikeIdentity } from '#broker/identity/ike-identity.ts'
import { ServerCredential, type ServerCredentialOptions, type ServerWords } from '#broker/identity/server-credential.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { purposes } from '#shared/pki/oids.ts'

interface ServerOptions extends Omit<ServerCredentialOptions, 'path' | 'words'> {
  readonly dataDir: string
  /** By which IKE peers know the broker in the end: it never changes. */
  readonly ikeSubject: string
  /** The identity of the configuration. */
  readonly ikeId: string | undefined
  readonly apiNames: readonly string[] | undefined
  readonly ikeNames: readonly string[] | undefined
}

/** How the broker proves itself: by the certificate of its API, and by that of its IKE. */
export class ServerIdentities {
  readonly #api: ServerCredential
  readonly #ikeServer: ServerCredential
  readonly #ikeId: string | undefined
  #ike: IkeIdentity

  static async open(options: ServerOptions): Promise<ServerIdentities> {
    const { dataDir, ikeSubject, ikeId, apiNames, ikeNames, ...parts } = options
    const ike: ServerWords = () => ({ subject: commonName(ikeSubject), purposes: [purposes.serverAuth, purposes.ipsecIke] })
    const api = await ServerCredential.open({ ...parts, path: serverPath(dataDir), words: apiWords }, apiNames)
    const server = await ServerCredential.open({ ...parts, path: ikePath(dataDir), words: ike }, ikeNames)
    return new ServerIdentities(api, server, ikeId?.toLowerCase())
  }

  private constructor(api: ServerCredential, ikeServer: ServerCredential, ikeId: string | undefined) {
    this.#api = api
    this.#ikeServer = ikeServer
    this.#ikeId = ikeId
    this.#ike = ikeIdentity(ikeServer.pem, ikeId)
  }

  /** PEM of the API's key and of its chain. */
  get tls(): { key: string; cert: string } {
    return this.#api.pem
  }

  /** Another object after each re-issue. */
  get ike(): IkeIdentity {
    return this.#ike
  }

  refreshApi(names?: readonly string[]): Promise<boolean> {
    return this.#api.refresh(names)
  }

  async refreshIke(): Promise<boolean> {
    const changed = await this.#ikeServer.refresh()
    if (changed) this.#ike = ikeIdentity(this.#ikeServer.pem, this.#ikeId)
    return changed
  }
}

const apiWords: ServerWords = ([first = 'localhost']) => ({ subject: commonName(first), purposes: [purposes.serverAuth] })
