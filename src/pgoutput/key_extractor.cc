#include "pgrecast/pgoutput/key_extractor.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace pgrecast::pgoutput {
namespace {

// What errors call the tuples.
constexpr const char* kInsert = "an insert's row";
constexpr const char* kUpdate = "an update's new row";
constexpr const char* kUpdateOld = "an update's old row";
constexpr const char* kDelete = "a delete's old row";

std::size_t position_of(const KnownRelation& relation,
                        const std::string& column) {
  const auto found =
      std::ranges::find(relation.columns, column, &KnownRelation::Column::name);
  if (found == relation.columns.end()) {
    throw SourceChanged(
        fmt::format("the stream describes {} without the key column \"{}\": it "
                    "was renamed, dropped, or left out of the publication",
                    relation.qualified_name(), column));
  }
  if (!found->in_replica_identity) {
    throw SourceChanged(fmt::format(
        "the key column \"{}\" is not in the replica identity of {} any more: "
        "the stream does not say which rows change",
        column, relation.qualified_name()));
  }
  return static_cast<std::size_t>(found - relation.columns.begin());
}

}  // namespace

KeyExtractor::KeyExtractor(const KnownRelation& relation,
                           std::span<const std::string> key_columns)
    : relation_(relation),
      new_key_(key_columns.size()),
      old_key_(key_columns.size()) {
  PGRECAST_ASSERT(!key_columns.empty(), "relation={}",
                  relation.qualified_name());
  positions_.reserve(key_columns.size());
  for (const std::string& column : key_columns) {
    positions_.push_back(position_of(relation_, column));
  }
}

DirtyKeys KeyExtractor::keys_of(const Insert& insert) {
  check(insert.relation_oid, insert.new_tuple);
  take_key(insert.new_tuple, kInsert, new_key_);
  return DirtyKeys(new_key_);
}

DirtyKeys KeyExtractor::keys_of(const Update& update) {
  check(update.relation_oid, update.new_tuple);
  if (!update.old_tuple) {
    take_key(update.new_tuple, kUpdate, new_key_);
    return DirtyKeys(new_key_);
  }

  const Tuple& old_tuple = update.old_tuple->tuple;
  check(update.relation_oid, old_tuple);
  take_key(old_tuple, kUpdateOld, old_key_);
  for (std::size_t part = 0; part < positions_.size(); ++part) {
    const TupleColumn& column = column_of(update.new_tuple, part, kUpdate);
    new_key_[part] = column.kind == ColumnKind::kUnchangedToast
                         ? old_key_[part]
                         : value_of(column, part, kUpdate);
  }
  if (std::ranges::equal(new_key_, old_key_)) return DirtyKeys(new_key_);
  return {new_key_, old_key_};
}

DirtyKeys KeyExtractor::keys_of(const Delete& deletion) {
  check(deletion.relation_oid, deletion.old_tuple.tuple);
  take_key(deletion.old_tuple.tuple, kDelete, old_key_);
  return DirtyKeys(old_key_);
}

void KeyExtractor::check(std::uint32_t relation_oid, const Tuple& tuple) const {
  PGRECAST_ASSERT(relation_oid == relation_.oid, "change={} relation={}",
                  relation_oid, relation_.oid);
  relation_.check_columns(tuple);
}

void KeyExtractor::take_key(const Tuple& tuple, const char* row,
                            Values& key) const {
  for (std::size_t part = 0; part < positions_.size(); ++part) {
    key[part] = value_of(column_of(tuple, part, row), part, row);
  }
}

const TupleColumn& KeyExtractor::column_of(const Tuple& tuple, std::size_t part,
                                           const char* row) const {
  const std::size_t position = positions_[part];
  if (position >= tuple.columns.size()) no_value(part, row, "is missing");
  return tuple.columns[position];
}

std::string_view KeyExtractor::value_of(const TupleColumn& column,
                                        std::size_t part,
                                        const char* row) const {
  switch (column.kind) {
    case ColumnKind::kText:
      return column.value;
    case ColumnKind::kNull:
      no_value(part, row, "is NULL");
    case ColumnKind::kUnchangedToast:
      no_value(part, row, "was not sent (unchanged, stored out of line)");
    // As text and as binary, one key would be two.
    case ColumnKind::kBinary:
      no_value(part, row, "came in binary form");
  }
  PGRECAST_ASSERT(false, "kind={}", static_cast<int>(column.kind));
}

void KeyExtractor::no_value(std::size_t part, const char* row,
                            const char* problem) const {
  throw ProtocolError(fmt::format("key column \"{}\" of {} {} in {}",
                                  relation_.columns[positions_[part]].name,
                                  relation_.qualified_name(), problem, row));
}

}  // namespace pgrecast::pgoutput
