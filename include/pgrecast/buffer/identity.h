#pragma once

#include <cstdint>
#include <string>

namespace pgrecast {

// The format of everything below a buffer's folder. One more whenever a byte
// changes its meaning.
inline constexpr std::uint32_t kBufferFormatVersion = 1;

// Whose changes a change buffer holds. All of it must fit the slot that the
// stream is read from, or positions mean nothing.
struct BufferIdentity {
  std::uint32_t format_version = kBufferFormatVersion;
  std::string migration;  // its uuid
  std::uint64_t system_identifier = 0;
  std::uint32_t timeline = 0;
  std::uint32_t database_oid = 0;
  std::string slot_name;

  bool operator==(const BufferIdentity&) const = default;
};

}  // namespace pgrecast
