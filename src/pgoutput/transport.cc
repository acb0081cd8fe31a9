#include "pgrecast/pgoutput/transport.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/pgoutput/reader.h"

#include <cstddef>

namespace pgrecast::pgoutput {
namespace {

constexpr std::size_t kStatusUpdateBytes = 34;

// Braced initializers are evaluated from left to right: the order of the
// fields below is the order on the wire.

XLogData take_xlog_data(Reader& reader) {
  return {.data_start = reader.take_lsn("start of the data"),
          .wal_end = reader.take_lsn("end of WAL"),
          .sent_at_us = reader.take<std::int64_t>("time of sending"),
          .payload = reader.take_bytes(reader.left(), "payload")};
}

Keepalive take_keepalive(Reader& reader) {
  return {.wal_end = reader.take_lsn("end of WAL"),
          .sent_at_us = reader.take<std::int64_t>("time of sending"),
          .reply_requested = reader.take_bool("0 or 1 for a reply requested")};
}

void append_big_endian(std::string& bytes, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes += static_cast<char>((value >> static_cast<unsigned>(shift)) & 0xFFU);
  }
}

}  // namespace

CopyData decode_copy_data(std::string_view bytes) {
  Reader reader(bytes, "CopyData message");
  switch (reader.take_char("a type")) {
    case 'w':
      return take_xlog_data(reader);
    case 'k': {
      const Keepalive keepalive = take_keepalive(reader);
      reader.expect_end();
      return keepalive;
    }
    default:
      reader.unexpected_byte("type w (XLogData) or k (keepalive)");
  }
}

std::string encode_status_update(const StatusUpdate& status) {
  std::string bytes;
  bytes.reserve(kStatusUpdateBytes);
  bytes += 'r';
  append_big_endian(bytes, status.written.value);
  append_big_endian(bytes, status.flushed.value);
  append_big_endian(bytes, status.applied.value);
  append_big_endian(bytes, static_cast<std::uint64_t>(status.client_time_us));
  bytes += static_cast<char>(status.reply_requested ? 1 : 0);
  PGRECAST_ASSERT(bytes.size() == kStatusUpdateBytes, "size={}", bytes.size());
  return bytes;
}

}  // namespace pgrecast::pgoutput
