// Addresses of this host.
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

/** Addresses by interface; none where the system refuses them, as without route sockets. */
export function interfaceAddresses(): NodeJS.Dict<NetworkInterfaceInfo[]> {
  try {
    return networkInterfaces();
  } catch {
    return {};
  }
}
