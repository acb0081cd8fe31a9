#include "pgrecast/copy/copier.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

namespace pgrecast::copy {
namespace {

// Blocks of one heap: of the source, or of one of its leaves.
struct Place {
  std::string from;
  BlockRange blocks;
};

Place place_of(const plan::MigratedTable& table, const BlockRange& chunk) {
  if (!table.source.partitioned()) {
    return {.from = table.target.select.from(), .blocks = chunk};
  }
  std::int64_t begin = 0;
  for (const catalog::Heap& leaf : table.leaves) {
    if (chunk.first < begin + leaf.blocks) {
      PGRECAST_ASSERT(chunk.end <= begin + leaf.blocks, "first={} end={}",
                      chunk.first, chunk.end);
      return {
          .from = "ONLY " + leaf.name.quoted(),
          .blocks = {.first = chunk.first - begin, .end = chunk.end - begin}};
    }
    begin += leaf.blocks;
  }
  PGRECAST_ASSERT(false, "first={} blocks={}", chunk.first, begin);
  return {};
}

std::string insert_statement(const plan::MigratedTable& table,
                             const std::string& from,
                             const std::string& condition) {
  const plan::TableTarget& target = table.target;
  return fmt::format("INSERT INTO {} {} {}", target.shadow.quoted(),
                     target.select.insert_target(),
                     target.select.rows(condition, from));
}

std::string blocks_condition(const plan::MigratedTable& table,
                             const BlockRange& blocks) {
  // A TID range scan, since PostgreSQL 14.
  return fmt::format(
      "{0}.ctid OPERATOR(pg_catalog.>=) '({1},0)' AND {0}.ctid "
      "OPERATOR(pg_catalog.<) '({2},0)'",
      table.target.select.alias(), blocks.first, blocks.end);
}

void find_in_block(pg::Connection& connection, const plan::MigratedTable& table,
                   const std::string& from, std::int64_t block,
                   std::vector<std::string>& keys) {
  const std::string& alias = table.target.select.alias();
  const pg::Result rows = connection.exec(
      fmt::format("SELECT {0}.ctid, {1} FROM {2} AS {0} WHERE {3}", alias,
                  plan::key_shown(table), from,
                  blocks_condition(table, {.first = block, .end = block + 1})));
  for (int row = 0; row < rows.rows() && keys.size() < plan::kRejectedKeysShown;
       ++row) {
    const std::string condition =
        fmt::format("{}.ctid OPERATOR(pg_catalog.=) {}", alias,
                    pg::quote_literal(rows.text(row, 0)));
    if (!plan::is_taken(connection, insert_statement(table, from, condition))) {
      keys.emplace_back(rows.text(row, 1));
    }
  }
}

// Halves the range until the rows are found. One transaction, rolled back.
void find_rejected(pg::Connection& connection, const plan::MigratedTable& table,
                   const std::string& from, const BlockRange& blocks,
                   std::vector<std::string>& keys) {
  if (keys.size() >= plan::kRejectedKeysShown) return;
  const auto condition = blocks_condition(table, blocks);
  if (plan::is_taken(connection, insert_statement(table, from, condition))) {
    return;
  }
  if (blocks.end - blocks.first <= 1) {
    find_in_block(connection, table, from, blocks.first, keys);
    return;
  }
  const std::int64_t middle = blocks.first + (blocks.end - blocks.first) / 2;
  find_rejected(connection, table, from, {.first = blocks.first, .end = middle},
                keys);
  find_rejected(connection, table, from, {.first = middle, .end = blocks.end},
                keys);
}

[[noreturn]] void throw_rejected(pg::Connection& connection,
                                 const plan::MigratedTable& table,
                                 const Place& place, const pg::SqlError& why) {
  std::vector<std::string> keys;
  pg::Transaction search(connection);
  find_rejected(connection, table, place.from, place.blocks, keys);
  search.rollback();
  throw DataRejected(fmt::format("rows of {} do not fit the new shape: {}",
                                 table.target.source.display(), why.what()),
                     std::move(keys));
}

}  // namespace

std::int64_t copy_chunk(
    pg::Connection& connection, const plan::MigratedTable& table,
    const catalog::SourceGuard& guard, const BlockRange& chunk,
    const std::function<void(pg::Connection&, std::int64_t rows)>& record) {
  const Place place = place_of(table, chunk);
  try {
    pg::Transaction transaction(connection);
    guard.enter(connection);
    const std::int64_t rows =
        connection
            .exec(insert_statement(table, place.from,
                                   blocks_condition(table, place.blocks)))
            .affected();
    record(connection, rows);
    PGRECAST_SYNC_POINT("copy:before_commit");
    transaction.commit();
    PGRECAST_SYNC_POINT("copy:after_commit");
    return rows;
  } catch (const pg::SqlError& error) {
    if (!error.blames_data()) throw;
    throw_rejected(connection, table, place, error);
  }
}

}  // namespace pgrecast::copy
