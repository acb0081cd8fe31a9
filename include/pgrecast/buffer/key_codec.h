#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast {

// How one key column is stored. Chosen from the column's type; kRaw is right
// for every type, the others are smaller and sort as the server sorts.
enum class ColumnForm {
  kInt2,
  kInt4,
  kInt8,
  kOid,
  kUuid,
  kTimestamp,  // date, timestamp, timestamptz; their text in DateStyle ISO
  kRaw,        // the text's own bytes
};

// Turns the texts of a key's columns, as the server prints them, into bytes
// and back. Bytes compare (memcmp) column by column, in the server's order for
// integers, oid and uuid, so that a refresh visits an index in its own order.
// Timestamps: -infinity, BC, AD by length of the year and then as text,
// infinity; that is the server's order but for BC, and for offsets of a time
// zone that change (set TimeZone to UTC). kRaw: the order of the bytes.
//
// Two texts that differ stay different, even where the server holds them equal
// ('1.0' and '1.00'); the refresh compares with the server's operators.
//
// Immutable, so any thread may use it. The layout is part of the change
// buffer's format version.
class KeyCodec {
 public:
  // A key has at least one column.
  explicit KeyCodec(std::vector<ColumnForm> columns);

  std::size_t column_count() const { return columns_.size(); }

  // Replaces `out` by the encoding, which is never empty; one text a column.
  // Does not allocate once `out` has the capacity. Throws ProtocolError for a
  // text that is no value of its form.
  void encode(std::span<const std::string_view> texts, std::string& out) const;

  // The texts again: exactly those that were encoded, if the server had printed
  // them. Throws ProtocolError for bytes that encode() does not make.
  std::vector<std::string> decode(std::string_view bytes) const;

  // The same into strings that are used again.
  void decode(std::string_view bytes, std::vector<std::string>& out) const;

 private:
  std::vector<ColumnForm> columns_;
};

}  // namespace pgrecast
