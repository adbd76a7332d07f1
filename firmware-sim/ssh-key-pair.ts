import ssh2 from 'ssh2'

/** Lines as OpenSSH has them. */
export interface SshKeyPair {
  readonly private: string
  readonly public: string
}

/** A new Ed25519 pair. Of what ssh2 makes, one in some hundred has lost a byte and can be read by nobody: that one is made again. */
export function newSshKeyPair(): SshKeyPair {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519')
    const isWhole = [pair.private, pair.public].every((text) => !(ssh2.utils.parseKey(text) instanceof Error))
    if (isWhole) return pair
  }
}
