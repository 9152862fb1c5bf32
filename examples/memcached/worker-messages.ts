// What a worker posts to the main thread.

/** A client has sent refresh_certs, and the files can be used. */
export const refreshCertificates = 'refresh-certificates';
