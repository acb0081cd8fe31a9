#pragma once

#include "pgrecast/pgoutput/messages.h"

#include <rapidcheck.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Random messages, for properties. To be called inside a property.
namespace pgrecast::pgoutput {

// Owns what the messages, which are views, point to.
class Arena {
 public:
  std::string_view keep(std::string text) {
    return texts_.emplace_back(std::move(text));
  }
  std::span<const TupleColumn> keep(std::vector<TupleColumn> columns) {
    return tuples_.emplace_back(std::move(columns));
  }
  std::span<const RelationColumn> keep(std::vector<RelationColumn> columns) {
    return relations_.emplace_back(std::move(columns));
  }
  std::span<const std::uint32_t> keep(std::vector<std::uint32_t> oids) {
    return oids_.emplace_back(std::move(oids));
  }

 private:
  std::deque<std::string> texts_;
  std::deque<std::vector<TupleColumn>> tuples_;
  std::deque<std::vector<RelationColumn>> relations_;
  std::deque<std::vector<std::uint32_t>> oids_;
};

inline Lsn any_lsn() {
  return Lsn{*rc::gen::arbitrary<std::uint64_t>()};
}
inline bool any_bool() {
  return *rc::gen::arbitrary<bool>();
}
inline std::uint32_t any_id() {
  return *rc::gen::arbitrary<std::uint32_t>();
}
inline std::int64_t any_time() {
  return *rc::gen::arbitrary<std::int64_t>();
}

// Any bytes, NULs among them.
inline std::string_view any_bytes(Arena& arena) {
  return arena.keep(
      *rc::gen::container<std::string>(rc::gen::arbitrary<char>()));
}

inline std::string_view any_name(Arena& arena) {
  return arena.keep(*rc::gen::container<std::string>(
      rc::gen::distinctFrom(rc::gen::arbitrary<char>(), '\0')));
}

inline TupleColumn any_column(Arena& arena) {
  const ColumnKind kind =
      *rc::gen::element(ColumnKind::kNull, ColumnKind::kUnchangedToast,
                        ColumnKind::kText, ColumnKind::kBinary);
  const bool sent = kind == ColumnKind::kText || kind == ColumnKind::kBinary;
  return {.kind = kind, .value = sent ? any_bytes(arena) : std::string_view()};
}

inline Tuple any_tuple(Arena& arena) {
  std::vector<TupleColumn> columns;
  const auto count = *rc::gen::inRange<std::size_t>(0, 6);
  columns.reserve(count);
  for (std::size_t i = 0; i < count; ++i) columns.push_back(any_column(arena));
  return {.columns = arena.keep(std::move(columns))};
}

inline OldTuple any_old_tuple(Arena& arena) {
  return {.kind = *rc::gen::element(OldTuple::Kind::kKey, OldTuple::Kind::kRow),
          .tuple = any_tuple(arena)};
}

inline Relation any_relation(Arena& arena,
                             std::optional<std::uint32_t> stream_xid) {
  std::vector<RelationColumn> columns;
  const auto count = *rc::gen::inRange<std::size_t>(0, 6);
  columns.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    columns.push_back({.in_replica_identity = any_bool(),
                       .name = any_name(arena),
                       .type_oid = any_id(),
                       .type_modifier = *rc::gen::arbitrary<std::int32_t>()});
  }
  return {.stream_xid = stream_xid,
          .oid = any_id(),
          .schema = any_name(arena),
          .name = any_name(arena),
          .replica_identity = *rc::gen::element(
              ReplicaIdentity::kDefault, ReplicaIdentity::kNothing,
              ReplicaIdentity::kFull, ReplicaIdentity::kIndex),
          .columns = arena.keep(std::move(columns))};
}

// One that may stand anywhere in a stream, with `stream_xid` in a block.
inline Message any_change(Arena& arena,
                          std::optional<std::uint32_t> stream_xid) {
  switch (*rc::gen::inRange(0, 7)) {
    case 0:
      return Type{.stream_xid = stream_xid,
                  .oid = any_id(),
                  .schema = any_name(arena),
                  .name = any_name(arena)};
    case 1:
      return any_relation(arena, stream_xid);
    case 2:
      return Insert{.stream_xid = stream_xid,
                    .relation_oid = any_id(),
                    .new_tuple = any_tuple(arena)};
    case 3: {
      Update update{.stream_xid = stream_xid,
                    .relation_oid = any_id(),
                    .old_tuple = {},
                    .new_tuple = any_tuple(arena)};
      if (any_bool()) update.old_tuple = any_old_tuple(arena);
      return update;
    }
    case 4:
      return Delete{.stream_xid = stream_xid,
                    .relation_oid = any_id(),
                    .old_tuple = any_old_tuple(arena)};
    case 5:
      return Truncate{.stream_xid = stream_xid,
                      .cascade = any_bool(),
                      .restart_identity = any_bool(),
                      .relation_oids = arena.keep(
                          *rc::gen::arbitrary<std::vector<std::uint32_t>>())};
    default:
      return LogicalMessage{.stream_xid = stream_xid,
                            .transactional = any_bool(),
                            .lsn = any_lsn(),
                            .prefix = any_name(arena),
                            .content = any_bytes(arena)};
  }
}

inline Message any_stream_abort() {
  StreamAbort abort{.xid = any_id(), .subxid = any_id(), .at = {}};
  if (any_bool()) {
    abort.at = {.abort_lsn = any_lsn(), .abort_time_us = any_time()};
  }
  return abort;
}

inline Message any_message(Arena& arena, bool in_stream_block) {
  if (*rc::gen::inRange(0, 3) != 0) {
    std::optional<std::uint32_t> stream_xid;
    if (in_stream_block) stream_xid = any_id();
    return any_change(arena, stream_xid);
  }
  if (in_stream_block) return StreamStop{};
  switch (*rc::gen::inRange(0, 6)) {
    case 0:
      return Begin{.final_lsn = any_lsn(),
                   .commit_time_us = any_time(),
                   .xid = any_id()};
    case 1:
      return Commit{.commit_lsn = any_lsn(),
                    .end_lsn = any_lsn(),
                    .commit_time_us = any_time()};
    case 2:
      return Origin{.commit_lsn = any_lsn(), .name = any_name(arena)};
    case 3:
      return StreamStart{.xid = any_id(), .first_segment = any_bool()};
    case 4:
      return StreamCommit{.xid = any_id(),
                          .commit_lsn = any_lsn(),
                          .end_lsn = any_lsn(),
                          .commit_time_us = any_time()};
    default:
      return any_stream_abort();
  }
}

}  // namespace pgrecast::pgoutput
