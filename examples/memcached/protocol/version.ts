/** The version of memcached whose protocol this is: clients expect no more than three numbers. */
export const protocolVersion = '1.6.18';
/** The server's own name. */
export const version = `${protocolVersion}-freebsd-rss`;
