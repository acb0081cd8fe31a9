#pragma once

#include "pgrecast/base/lsn.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

// What the walsender and we say to each other while START_REPLICATION is on:
// the payloads of CopyData. The format is the manual's "Streaming Replication
// Protocol". Times are microseconds since 2000-01-01 00:00 UTC.
namespace pgrecast::pgoutput {

// One message of the output plugin, see decoder.h.
struct XLogData {
  // Not a position to resume from and not monotonic: a transaction's first
  // change, the end of its commit record, or 0/0 for Relation and Type.
  Lsn data_start;
  // In logical decoding the same as data_start, not the server's end of WAL.
  Lsn wal_end;
  std::int64_t sent_at_us = 0;
  std::string_view payload;  // lives as long as the bytes it was decoded from

  bool operator==(const XLogData&) const = default;
};

struct Keepalive {
  // How far the walsender has decoded: every transaction whose commit record
  // is below it was sent before this.
  Lsn wal_end;
  std::int64_t sent_at_us = 0;
  // Answer at once, or be disconnected after wal_sender_timeout.
  bool reply_requested = false;

  bool operator==(const Keepalive&) const = default;
};

using CopyData = std::variant<XLogData, Keepalive>;

// Throws ProtocolError for anything else.
CopyData decode_copy_data(std::string_view bytes);

// A position that is reported is the last byte's plus one; 0/0 changes nothing.
struct StatusUpdate {
  Lsn written;
  Lsn flushed;  // becomes the slot's confirmed_flush_lsn: changes below it
                // that we have not stored are lost for good
  Lsn applied;
  std::int64_t client_time_us = 0;
  bool reply_requested = false;
};

// "Standby status update", 34 bytes, to be sent as CopyData.
std::string encode_status_update(const StatusUpdate& status);

}  // namespace pgrecast::pgoutput
