// What workers and the main thread post to each other.

/** A client has sent refresh_certs, and the files can be used. */
export const refreshCertificates = 'refresh-certificates';

/** Asks a worker that uses the store alone to share it. */
export const shareStore = 'share-store';
/** Its answer. */
export const storeShared = 'store-shared';
