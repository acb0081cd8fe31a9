#include "pgrecast/copy/copier.h"

#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

namespace pgrecast::copy {
namespace {

std::string insert_statement(const plan::MigratedTable& table,
                             const std::string& condition) {
  const plan::TableTarget& target = table.target;
  return fmt::format("INSERT INTO {} {} {}", target.shadow.quoted(),
                     target.select.insert_target(),
                     target.select.rows(condition));
}

std::string blocks_condition(const plan::MigratedTable& table,
                             const BlockRange& blocks) {
  // A TID range scan, since PostgreSQL 14.
  return fmt::format("{0}.ctid >= '({1},0)' AND {0}.ctid < '({2},0)'",
                     table.target.select.alias(), blocks.first, blocks.end);
}

void find_in_block(pg::Connection& connection, const plan::MigratedTable& table,
                   std::int64_t block, std::vector<std::string>& keys) {
  const std::string& alias = table.target.select.alias();
  const pg::Result rows = connection.exec(
      fmt::format("SELECT {0}.ctid, {1} FROM ONLY {2} AS {0} WHERE {3}", alias,
                  plan::key_shown(table), table.target.source.quoted(),
                  blocks_condition(table, {.first = block, .end = block + 1})));
  for (int row = 0; row < rows.rows() && keys.size() < plan::kRejectedKeysShown;
       ++row) {
    const std::string condition = fmt::format(
        "{}.ctid = {}", alias, pg::quote_literal(rows.text(row, 0)));
    if (!plan::is_taken(connection, insert_statement(table, condition))) {
      keys.emplace_back(rows.text(row, 1));
    }
  }
}

// Halves the range until the rows are found. One transaction, rolled back.
void find_rejected(pg::Connection& connection, const plan::MigratedTable& table,
                   const BlockRange& blocks, std::vector<std::string>& keys) {
  if (keys.size() >= plan::kRejectedKeysShown) return;
  const auto condition = blocks_condition(table, blocks);
  if (plan::is_taken(connection, insert_statement(table, condition))) return;
  if (blocks.end - blocks.first <= 1) {
    find_in_block(connection, table, blocks.first, keys);
    return;
  }
  const std::int64_t middle = blocks.first + (blocks.end - blocks.first) / 2;
  find_rejected(connection, table, {.first = blocks.first, .end = middle},
                keys);
  find_rejected(connection, table, {.first = middle, .end = blocks.end}, keys);
}

[[noreturn]] void throw_rejected(pg::Connection& connection,
                                 const plan::MigratedTable& table,
                                 const BlockRange& chunk,
                                 const pg::SqlError& why) {
  std::vector<std::string> keys;
  pg::Transaction search(connection);
  find_rejected(connection, table, chunk, keys);
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
  try {
    pg::Transaction transaction(connection);
    guard.enter(connection);
    const std::int64_t rows =
        connection.exec(insert_statement(table, blocks_condition(table, chunk)))
            .affected();
    record(connection, rows);
    PGRECAST_SYNC_POINT("copy:before_commit");
    transaction.commit();
    PGRECAST_SYNC_POINT("copy:after_commit");
    return rows;
  } catch (const pg::SqlError& error) {
    if (!error.blames_data()) throw;
    throw_rejected(connection, table, chunk, error);
  }
}

}  // namespace pgrecast::copy
