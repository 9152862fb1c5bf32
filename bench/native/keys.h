// The data set of the memcached works: 10,000 keys of 9 bytes with values of 32.
#pragma once

#include <stdio.h>

#include <string>

namespace bench {

constexpr unsigned kKeys = 10000;
constexpr size_t kValueLength = 32;

inline std::string KeyOf(unsigned n) {
  char text[16];
  snprintf(text, sizeof text, "key:%05u", n % 100000);
  return text;
}

inline std::string ValueOf(unsigned n) {
  std::string value = "v" + std::to_string(n) + "-";
  while (value.size() < kValueLength) value += static_cast<char>('a' + (n + value.size()) % 26);
  return value;
}

// A server's answer for the key, without the END line.
inline std::string ItemOf(unsigned n) {
  return "VALUE " + KeyOf(n) + " 0 32\r\n" + ValueOf(n) + "\r\n";
}

// xorshift. The clients' keys are the same in every run.
class Random {
 public:
  unsigned Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }

 private:
  unsigned state_ = 12345;
};

}  // namespace bench
