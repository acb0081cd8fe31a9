#include "pgrecast/pgoutput/decoder.h"

#include "pgrecast/pgoutput/reader.h"

#include <cstddef>

// Every take_ below has the shape of the manual's page on its message. Braced
// initializers are evaluated from left to right: the order of the fields is the
// order on the wire.
namespace pgrecast::pgoutput {
namespace {

constexpr std::uint8_t kRelationColumnInIdentity = 1;
constexpr std::uint8_t kTruncateCascade = 1;
constexpr std::uint8_t kTruncateRestartIdentity = 2;

// The least that one can have: flags, an empty name, type and modifier.
constexpr std::size_t kRelationColumnBytesMin = 10;
constexpr std::size_t kTupleColumnBytesMin = 1;

Begin take_begin(Reader& reader) {
  return {.final_lsn = reader.take_lsn("LSN of the commit"),
          .commit_time_us = reader.take<std::int64_t>("time of the commit"),
          .xid = reader.take<std::uint32_t>("transaction id")};
}

void take_no_flags(Reader& reader) {
  constexpr const char* kFlags = "flags 0";
  if (reader.take<std::uint8_t>(kFlags) != 0) reader.unexpected_byte(kFlags);
}

Commit take_commit(Reader& reader) {
  take_no_flags(reader);
  return {.commit_lsn = reader.take_lsn("LSN of the commit"),
          .end_lsn = reader.take_lsn("LSN of the commit's end"),
          .commit_time_us = reader.take<std::int64_t>("time of the commit")};
}

Origin take_origin(Reader& reader) {
  return {.commit_lsn = reader.take_lsn("LSN of the origin's commit"),
          .name = reader.take_cstring("name of the origin")};
}

ReplicaIdentity take_replica_identity(Reader& reader) {
  constexpr const char* kExpected = "replica identity d, n, f or i";
  switch (const char identity = reader.take_char(kExpected)) {
    case 'd':
    case 'n':
    case 'f':
    case 'i':
      return ReplicaIdentity{identity};
    default:
      reader.unexpected_byte(kExpected);
  }
}

RelationColumn take_relation_column(Reader& reader) {
  constexpr const char* kExpected = "flags 0 or 1 of a column";
  const auto flags = reader.take<std::uint8_t>(kExpected);
  if ((flags & ~kRelationColumnInIdentity) != 0) {
    reader.unexpected_byte(kExpected);
  }
  return {
      .in_replica_identity = (flags & kRelationColumnInIdentity) != 0,
      .name = reader.take_cstring("name of a column"),
      .type_oid = reader.take<std::uint32_t>("type of a column"),
      .type_modifier = reader.take<std::int32_t>("type modifier of a column")};
}

std::string_view take_value(Reader& reader) {
  const std::size_t bytes =
      reader.take_count<std::int32_t>("length of a column's value", 1);
  return reader.take_bytes(bytes, "a column's value");
}

TupleColumn take_tuple_column(Reader& reader) {
  constexpr const char* kExpected = "column n, u, t or b";
  switch (const char kind = reader.take_char(kExpected)) {
    case 'n':
    case 'u':
      return {.kind = ColumnKind{kind}, .value = {}};
    case 't':
    case 'b':
      return {.kind = ColumnKind{kind}, .value = take_value(reader)};
    default:
      reader.unexpected_byte(kExpected);
  }
}

Tuple take_tuple(Reader& reader, std::vector<TupleColumn>& buffer) {
  const std::size_t count = reader.take_count<std::int16_t>(
      "number of a tuple's columns", kTupleColumnBytesMin);
  buffer.resize(count);
  for (TupleColumn& column : buffer) column = take_tuple_column(reader);
  return {.columns = buffer};
}

void take_new_tuple_mark(Reader& reader) {
  constexpr const char* kExpected = "new tuple N";
  if (reader.take_char(kExpected) != 'N') reader.unexpected_byte(kExpected);
}

StreamStart take_stream_start(Reader& reader) {
  return {.xid = reader.take<std::uint32_t>("transaction id"),
          .first_segment = reader.take_bool("0 or 1 for the first segment")};
}

StreamCommit take_stream_commit(Reader& reader) {
  const auto xid = reader.take<std::uint32_t>("transaction id");
  take_no_flags(reader);
  return {.xid = xid,
          .commit_lsn = reader.take_lsn("LSN of the commit"),
          .end_lsn = reader.take_lsn("LSN of the commit's end"),
          .commit_time_us = reader.take<std::int64_t>("time of the commit")};
}

StreamAbort take_stream_abort(Reader& reader) {
  StreamAbort abort{.xid = reader.take<std::uint32_t>("transaction id"),
                    .subxid = reader.take<std::uint32_t>("subtransaction id"),
                    .at = {}};
  // Whether these follow depends on the option `streaming` alone, which is not
  // ours to know.
  if (reader.left() != 0) {
    abort.at = {
        .abort_lsn = reader.take_lsn("LSN of the abort"),
        .abort_time_us = reader.take<std::int64_t>("time of the abort")};
  }
  return abort;
}

}  // namespace

Message Decoder::decode(std::string_view payload) {
  Reader reader(payload, "pgoutput message");
  const Message message = take_message(reader);
  reader.expect_end();
  if (std::holds_alternative<StreamStart>(message)) in_stream_block_ = true;
  if (std::holds_alternative<StreamStop>(message)) in_stream_block_ = false;
  return message;
}

Message Decoder::take_message(Reader& reader) {
  const char type = reader.take_char("a type");
  switch (type) {
    case 'I':
      return take_insert(reader);
    case 'U':
      return take_update(reader);
    case 'D':
      return take_delete(reader);
    case 'B':
      expect_outside_stream_block(reader);
      return take_begin(reader);
    case 'C':
      expect_outside_stream_block(reader);
      return take_commit(reader);
    case 'O':
      return take_origin(reader);
    case 'Y':
      return take_type(reader);
    case 'R':
      return take_relation(reader);
    case 'T':
      return take_truncate(reader);
    case 'M':
      return take_logical_message(reader);
    default:
      return take_stream_message(reader, type);
  }
}

Message Decoder::take_stream_message(Reader& reader, char type) {
  if (type == 'E') {
    if (!in_stream_block_) {
      reader.unexpected_byte("Stream Stop only inside a stream block");
    }
    return StreamStop{};
  }
  if (type == 'S' || type == 'c' || type == 'A') {
    expect_outside_stream_block(reader);
  }
  switch (type) {
    case 'S':
      return take_stream_start(reader);
    case 'c':
      return take_stream_commit(reader);
    case 'A':
      return take_stream_abort(reader);
    case 'b':
    case 'P':
    case 'p':
    case 'K':
    case 'r':
      reader.unexpected_byte(
          "a message of protocol 1 or 2 (this one is of two_phase, for which "
          "the slot must not be created)");
    default:
      reader.unexpected_byte("a message of protocol 1 or 2");
  }
}

void Decoder::expect_outside_stream_block(const Reader& reader) const {
  if (in_stream_block_) {
    reader.unexpected_byte("a change, or Stream Stop, inside a stream block");
  }
}

std::optional<std::uint32_t> Decoder::take_stream_xid(Reader& reader) const {
  if (!in_stream_block_) return std::nullopt;
  return reader.take<std::uint32_t>("transaction id inside a stream block");
}

Type Decoder::take_type(Reader& reader) const {
  return {.stream_xid = take_stream_xid(reader),
          .oid = reader.take<std::uint32_t>("OID of the type"),
          .schema = reader.take_cstring("schema of the type"),
          .name = reader.take_cstring("name of the type")};
}

Relation Decoder::take_relation(Reader& reader) {
  Relation relation{.stream_xid = take_stream_xid(reader),
                    .oid = reader.take<std::uint32_t>("OID of the relation"),
                    .schema = reader.take_cstring("schema of the relation"),
                    .name = reader.take_cstring("name of the relation"),
                    .replica_identity = take_replica_identity(reader),
                    .columns = {}};
  const std::size_t count = reader.take_count<std::int16_t>(
      "number of the relation's columns", kRelationColumnBytesMin);
  relation_columns_.resize(count);
  for (RelationColumn& column : relation_columns_) {
    column = take_relation_column(reader);
  }
  relation.columns = relation_columns_;
  return relation;
}

Insert Decoder::take_insert(Reader& reader) {
  Insert insert{
      .stream_xid = take_stream_xid(reader),
      .relation_oid = reader.take<std::uint32_t>("OID of the relation"),
      .new_tuple = {}};
  take_new_tuple_mark(reader);
  insert.new_tuple = take_tuple(reader, new_columns_);
  return insert;
}

Update Decoder::take_update(Reader& reader) {
  Update update{
      .stream_xid = take_stream_xid(reader),
      .relation_oid = reader.take<std::uint32_t>("OID of the relation"),
      .old_tuple = {},
      .new_tuple = {}};
  constexpr const char* kExpected = "tuple K, O or N";
  const char kind = reader.take_char(kExpected);
  if (kind == 'K' || kind == 'O') {
    update.old_tuple = {.kind = OldTuple::Kind{kind},
                        .tuple = take_tuple(reader, old_columns_)};
    take_new_tuple_mark(reader);
  } else if (kind != 'N') {
    reader.unexpected_byte(kExpected);
  }
  update.new_tuple = take_tuple(reader, new_columns_);
  return update;
}

Delete Decoder::take_delete(Reader& reader) {
  Delete deletion{
      .stream_xid = take_stream_xid(reader),
      .relation_oid = reader.take<std::uint32_t>("OID of the relation"),
      .old_tuple = {}};
  constexpr const char* kExpected = "old tuple K or O";
  const char kind = reader.take_char(kExpected);
  if (kind != 'K' && kind != 'O') reader.unexpected_byte(kExpected);
  deletion.old_tuple = {.kind = OldTuple::Kind{kind},
                        .tuple = take_tuple(reader, old_columns_)};
  return deletion;
}

Truncate Decoder::take_truncate(Reader& reader) {
  Truncate truncate{.stream_xid = take_stream_xid(reader),
                    .cascade = false,
                    .restart_identity = false,
                    .relation_oids = {}};
  // (The options stand between the count and what it counts, so that the count
  // may still be one too high: then taking the last OID fails.)
  const std::size_t count = reader.take_count<std::int32_t>(
      "number of truncated relations", sizeof(std::uint32_t));
  constexpr const char* kExpected = "options 0 to 3 of TRUNCATE";
  const auto options = reader.take<std::uint8_t>(kExpected);
  if ((options & ~(kTruncateCascade | kTruncateRestartIdentity)) != 0) {
    reader.unexpected_byte(kExpected);
  }
  truncate.cascade = (options & kTruncateCascade) != 0;
  truncate.restart_identity = (options & kTruncateRestartIdentity) != 0;

  relation_oids_.resize(count);
  for (std::uint32_t& oid : relation_oids_) {
    oid = reader.take<std::uint32_t>("OID of a truncated relation");
  }
  truncate.relation_oids = relation_oids_;
  return truncate;
}

LogicalMessage Decoder::take_logical_message(Reader& reader) const {
  LogicalMessage message{
      .stream_xid = take_stream_xid(reader),
      .transactional = reader.take_bool("flags 0 or 1 of a logical message"),
      .lsn = reader.take_lsn("LSN of the message"),
      .prefix = reader.take_cstring("prefix of the message"),
      .content = {}};
  const std::size_t bytes =
      reader.take_count<std::int32_t>("length of the message's content", 1);
  message.content = reader.take_bytes(bytes, "content of the message");
  return message;
}

}  // namespace pgrecast::pgoutput
