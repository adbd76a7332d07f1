/** The exclusive right to a data or state folder, held by DIR/lock.db and given back by the kernel however the process ends. */
export interface FolderLock {
  release(): Promise<void>
}

/** Throws AditError `state-locked` where another process holds it. `purpose` is shown to the one that is refused. */
export declare function lockFolder(folder: string, purpose: string): Promise<FolderLock>
