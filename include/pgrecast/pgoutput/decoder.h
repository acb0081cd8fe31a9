#pragma once

#include "pgrecast/pgoutput/messages.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace pgrecast::pgoutput {

class Reader;

// Turns the payloads of one stream, in their order, into messages.
//
// Belongs to the thread that reads the stream. Knows of the stream only whether
// it is inside a stream block, since messages have a field more there: make
// another Decoder for another START_REPLICATION.
//
// Once its buffers have grown to the widest relation, decode() allocates
// nothing for a change of a row.
class Decoder {
 public:
  // The message's views are valid until the next decode(), and no longer than
  // `payload`.
  //
  // Throws ProtocolError for every message, flag or byte that protocols 1 and 2
  // do not know, and for messages that do not fit where they stand (a Begin
  // inside a stream block). A change that is not understood is a change that is
  // lost, so there is nothing to skip. The Decoder is then as before, though
  // the last message's views are not valid any more.
  Message decode(std::string_view payload);

  // Between StreamStart and StreamStop.
  bool in_stream_block() const { return in_stream_block_; }

 private:
  Message take_message(Reader& reader);
  Message take_stream_message(Reader& reader, char type);
  void expect_outside_stream_block(const Reader& reader) const;
  std::optional<std::uint32_t> take_stream_xid(Reader& reader) const;

  Type take_type(Reader& reader) const;
  Relation take_relation(Reader& reader);
  Insert take_insert(Reader& reader);
  Update take_update(Reader& reader);
  Delete take_delete(Reader& reader);
  Truncate take_truncate(Reader& reader);
  LogicalMessage take_logical_message(Reader& reader) const;

  bool in_stream_block_ = false;

  // What the last message's spans point into.
  std::vector<TupleColumn> new_columns_;
  std::vector<TupleColumn> old_columns_;
  std::vector<RelationColumn> relation_columns_;
  std::vector<std::uint32_t> relation_oids_;
};

}  // namespace pgrecast::pgoutput
