#pragma once

#include "pgrecast/base/lsn.h"
#include "pgrecast/pgoutput/messages.h"
#include "pgrecast/pgoutput/transport.h"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

// The other half of the decoder, for tests only: what a walsender writes.
// Written from the manual's page on message formats, and compared with bytes of
// a real server by the corpus's test.
namespace pgrecast::pgoutput {

class Encoder {
 public:
  static std::string encode(const Message& message) {
    Encoder encoder;
    std::visit([&](const auto& m) { encoder.put_message(m); }, message);
    return encoder.bytes_;
  }

  static std::string encode(const CopyData& data) {
    Encoder encoder;
    std::visit([&](const auto& m) { encoder.put_message(m); }, data);
    return encoder.bytes_;
  }

 private:
  template <std::integral T>
  void put(T value) {
    const auto bits = static_cast<std::make_unsigned_t<T>>(value);
    for (std::size_t i = sizeof(T); i-- > 0;) {
      bytes_ += static_cast<char>((bits >> (8 * i)) & 0xFFU);
    }
  }
  void put(Lsn lsn) { put(lsn.value); }
  void put(std::optional<std::uint32_t> stream_xid) {
    if (stream_xid) put(*stream_xid);
  }
  void put_flag(bool flag) { bytes_ += static_cast<char>(flag ? 1 : 0); }
  void put_cstring(std::string_view text) {
    bytes_ += text;
    bytes_ += '\0';
  }
  void put_sized(std::string_view text) {
    put(static_cast<std::int32_t>(text.size()));
    bytes_ += text;
  }

  void put_tuple(char mark, const Tuple& tuple) {
    bytes_ += mark;
    put(static_cast<std::int16_t>(tuple.columns.size()));
    for (const TupleColumn& column : tuple.columns) {
      bytes_ += static_cast<char>(column.kind);
      const bool sent = column.kind == ColumnKind::kText ||
                        column.kind == ColumnKind::kBinary;
      if (sent) put_sized(column.value);
    }
  }
  void put_old_tuple(const OldTuple& old) {
    put_tuple(static_cast<char>(old.kind), old.tuple);
  }

  void put_message(const Begin& m) {
    bytes_ += 'B';
    put(m.final_lsn);
    put(m.commit_time_us);
    put(m.xid);
  }
  void put_message(const Commit& m) {
    bytes_ += 'C';
    put_flag(false);
    put(m.commit_lsn);
    put(m.end_lsn);
    put(m.commit_time_us);
  }
  void put_message(const Origin& m) {
    bytes_ += 'O';
    put(m.commit_lsn);
    put_cstring(m.name);
  }
  void put_message(const Type& m) {
    bytes_ += 'Y';
    put(m.stream_xid);
    put(m.oid);
    put_cstring(m.schema);
    put_cstring(m.name);
  }
  void put_message(const Relation& m) {
    bytes_ += 'R';
    put(m.stream_xid);
    put(m.oid);
    put_cstring(m.schema);
    put_cstring(m.name);
    bytes_ += static_cast<char>(m.replica_identity);
    put(static_cast<std::int16_t>(m.columns.size()));
    for (const RelationColumn& column : m.columns) {
      put_flag(column.in_replica_identity);
      put_cstring(column.name);
      put(column.type_oid);
      put(column.type_modifier);
    }
  }
  void put_message(const Insert& m) {
    bytes_ += 'I';
    put(m.stream_xid);
    put(m.relation_oid);
    put_tuple('N', m.new_tuple);
  }
  void put_message(const Update& m) {
    bytes_ += 'U';
    put(m.stream_xid);
    put(m.relation_oid);
    if (m.old_tuple) put_old_tuple(*m.old_tuple);
    put_tuple('N', m.new_tuple);
  }
  void put_message(const Delete& m) {
    bytes_ += 'D';
    put(m.stream_xid);
    put(m.relation_oid);
    put_old_tuple(m.old_tuple);
  }
  void put_message(const Truncate& m) {
    bytes_ += 'T';
    put(m.stream_xid);
    put(static_cast<std::int32_t>(m.relation_oids.size()));
    bytes_ +=
        static_cast<char>((m.cascade ? 1 : 0) | (m.restart_identity ? 2 : 0));
    for (const std::uint32_t oid : m.relation_oids) put(oid);
  }
  void put_message(const LogicalMessage& m) {
    bytes_ += 'M';
    put(m.stream_xid);
    put_flag(m.transactional);
    put(m.lsn);
    put_cstring(m.prefix);
    put_sized(m.content);
  }
  void put_message(const StreamStart& m) {
    bytes_ += 'S';
    put(m.xid);
    put_flag(m.first_segment);
  }
  void put_message(const StreamStop& /*m*/) { bytes_ += 'E'; }
  void put_message(const StreamCommit& m) {
    bytes_ += 'c';
    put(m.xid);
    put_flag(false);
    put(m.commit_lsn);
    put(m.end_lsn);
    put(m.commit_time_us);
  }
  void put_message(const StreamAbort& m) {
    bytes_ += 'A';
    put(m.xid);
    put(m.subxid);
    if (m.at) {
      put(m.at->abort_lsn);
      put(m.at->abort_time_us);
    }
  }
  void put_message(const XLogData& m) {
    bytes_ += 'w';
    put(m.data_start);
    put(m.wal_end);
    put(m.sent_at_us);
    bytes_ += m.payload;
  }
  void put_message(const Keepalive& m) {
    bytes_ += 'k';
    put(m.wal_end);
    put(m.sent_at_us);
    put_flag(m.reply_requested);
  }

  std::string bytes_;
};

}  // namespace pgrecast::pgoutput
