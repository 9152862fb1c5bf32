#pragma once

namespace rss {

// Makes the kernel report the acknowledgement of all that a TCP socket sends from now on, or only
// of messages with BuildAckControl(): see AckQueue. Reports have no data, and need no privilege.
bool ReportAcks(int socket, bool all);

}  // namespace rss
