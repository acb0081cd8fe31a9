#include "pgrecast/pgoutput/decoder.h"
#include "pgrecast/pgoutput/key_extractor.h"
#include "pgrecast/pgoutput/relation_cache.h"

#include "support/pgoutput/encoder.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace pgrecast::pgoutput {
namespace {

constexpr std::uint32_t kOid = 16384;

using Row = std::vector<std::string>;

// A table whose first columns, in another order, are its key, and what a server
// sends of an update of one of its rows.
struct Table {
  std::vector<std::string> columns;
  std::vector<std::size_t> key;  // positions, in the key's order
  bool full = false;             // REPLICA IDENTITY FULL

  bool in_key(std::size_t position) const {
    return std::ranges::count(key, position) != 0;
  }
  Row key_of(const Row& row) const {
    Row values;
    for (const std::size_t position : key) values.push_back(row[position]);
    return values;
  }
};

Table any_table() {
  Table table;
  const auto column_count = *rc::gen::inRange<std::size_t>(1, 6);
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < column_count; ++i) {
    table.columns.push_back("c" + std::to_string(i));
    positions.push_back(i);
  }
  const auto key_size = *rc::gen::inRange<std::size_t>(1, column_count + 1);
  // rapidcheck has no shuffle: sort by random ranks.
  const auto ranks = *rc::gen::container<std::vector<int>>(
      column_count, rc::gen::arbitrary<int>());
  std::ranges::stable_sort(positions, {},
                           [&](std::size_t i) { return ranks[i]; });
  table.key.assign(positions.begin(),
                   positions.begin() + static_cast<std::ptrdiff_t>(key_size));
  table.full = *rc::gen::arbitrary<bool>();
  return table;
}

// Few different values, so that some stay and some change.
Row any_row(const Table& table) {
  return *rc::gen::container<Row>(
      table.columns.size(),
      rc::gen::element<std::string>("", "1", "1.0", "x\ny"));
}

std::string described(const Table& table) {
  std::vector<RelationColumn> columns;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    columns.push_back({.in_replica_identity = table.full || table.in_key(i),
                       .name = table.columns[i],
                       .type_oid = 25,
                       .type_modifier = -1});
  }
  return Encoder::encode(
      Relation{.stream_xid = {},
               .oid = kOid,
               .schema = "app",
               .name = "orders",
               .replica_identity = table.full ? ReplicaIdentity::kFull
                                              : ReplicaIdentity::kDefault,
               .columns = columns});
}

// Columns of which `out_of_line` are kept back where they did not change.
std::string update_sent(const Table& table, const Row& before, const Row& after,
                        const std::vector<bool>& out_of_line) {
  std::vector<TupleColumn> old_columns;
  std::vector<TupleColumn> new_columns;
  bool key_sent = table.full;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const bool same = before[i] == after[i];
    const bool kept_back = same && out_of_line[i];
    if (table.in_key(i) && (!same || kept_back)) key_sent = true;
    old_columns.push_back(
        table.full || table.in_key(i)
            ? TupleColumn{.kind = ColumnKind::kText, .value = before[i]}
            : TupleColumn{});
    new_columns.push_back(
        kept_back
            ? TupleColumn{.kind = ColumnKind::kUnchangedToast, .value = {}}
            : TupleColumn{.kind = ColumnKind::kText, .value = after[i]});
  }
  Update update{.stream_xid = {},
                .relation_oid = kOid,
                .old_tuple = {},
                .new_tuple = {.columns = new_columns}};
  if (key_sent) {
    update.old_tuple = {
        .kind = table.full ? OldTuple::Kind::kRow : OldTuple::Kind::kKey,
        .tuple = {.columns = old_columns}};
  }
  return Encoder::encode(update);
}

RC_GTEST_PROP(KeyExtractorProperty, AnUpdateDirtiesExactlyTheKeysBeforeAndAfter,
              ()) {
  const Table table = any_table();
  Decoder decoder;
  RelationCache relations;
  relations.put(std::get<Relation>(decoder.decode(described(table))));
  std::vector<std::string> key_columns;
  for (const std::size_t i : table.key) key_columns.push_back(table.columns[i]);
  KeyExtractor extractor(relations.find(kOid), key_columns);

  const int count = *rc::gen::inRange(1, 5);
  for (int i = 0; i < count; ++i) {
    const Row before = any_row(table);
    const Row after = any_row(table);
    const auto out_of_line = *rc::gen::container<std::vector<bool>>(
        table.columns.size(), rc::gen::arbitrary<bool>());
    const std::string payload = update_sent(table, before, after, out_of_line);

    const Message message = decoder.decode(payload);
    std::set<Row> dirty;
    const DirtyKeys keys = extractor.keys_of(std::get<Update>(message));
    for (const Key key : keys) dirty.emplace(key.begin(), key.end());

    RC_ASSERT(dirty ==
              (std::set<Row>{table.key_of(before), table.key_of(after)}));
    RC_ASSERT(keys.size() == dirty.size());  // none is told twice
  }
}

}  // namespace
}  // namespace pgrecast::pgoutput
