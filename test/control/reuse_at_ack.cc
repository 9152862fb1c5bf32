// A negative control: sends values from shared memory and overwrites them as soon as they are
// acknowledged. The checker of the zero-copy tests has to detect it. Prints its port.
//
//   reuse_at_ack ROUNDS
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

constexpr uint32_t kLength = 65536;

static void Fill(uint32_t* words, uint32_t seed) {
  for (uint32_t i = 0; i < kLength / 4; ++i) words[i] = seed + i * 0x9e3779b1u;
}

int main(int count, char** words) {
  int rounds = count > 1 ? atoi(words[1]) : 100;
  int memory = memfd_create("control", 0);
  if (ftruncate(memory, kLength) != 0) return 1;
  auto* value = static_cast<uint32_t*>(
      mmap(nullptr, kLength, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener, generic, length) != 0 || listen(listener, 1) != 0 ||
      getsockname(listener, generic, &length) != 0)
    return 1;
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  int fd = accept(listener, nullptr, nullptr);
  for (int round = 0; round < rounds; ++round) {
    Fill(value, static_cast<uint32_t>(round));
    uint32_t header[2] = {kLength, static_cast<uint32_t>(round)};
    if (send(fd, header, sizeof header, MSG_NOSIGNAL) != sizeof header) return 1;
    for (off_t at = 0; at < static_cast<off_t>(kLength);)
      if (sendfile(fd, memory, &at, kLength - static_cast<size_t>(at)) <= 0) return 1;
    for (int unacknowledged = 1; unacknowledged > 0;) ioctl(fd, SIOCOUTQ, &unacknowledged);
  }
  close(fd);
  return 0;
}
