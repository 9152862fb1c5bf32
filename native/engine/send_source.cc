#include "engine/send_source.h"

#include "platform/posix/stream.h"

namespace rss {

ssize_t SendSource::Send(int socket, iovec* parts, int count, uint64_t offset, size_t length,
                         bool share, bool report_ack, bool* shared) {
  if (segment != nullptr && segment->large_pages() && CanRenewPages()) share = false;
  if (segment == nullptr || (share && !refused_)) {
    FileRange range = Range(offset, length);
    range.report_ack = report_ack;
    ssize_t sent = SendFile(socket, parts, count, range);
    *shared = sent > 0;
    refused_ = segment != nullptr && (sent == -EINVAL || sent == -ENOSYS || sent == -EOPNOTSUPP);
    if (!refused_) return sent;
  }
  *shared = false;
  parts[count] = {segment->data() + offset, length};
  return SendStream(socket, parts, count + 1, report_ack);
}

}  // namespace rss
