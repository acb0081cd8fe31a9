#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/copy/chunker.h"
#include "pgrecast/copy/copier.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/pg/retry.h"
#include "pgrecast/plan/added_foreign_keys.h"
#include "pgrecast/refresh/statements.h"

#include "context.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace pgrecast::migration {
namespace {

// By key, as a person reads it: what the row refers to.
using Unmatched = std::map<std::string, std::string>;

// So many tell whether there are any that are none by chance.
constexpr std::size_t kUnmatchedMax = 1000;
// Where all of these are by chance again and again, the validation after the
// exchange has to find the others.
constexpr int kLooksMax = 5;
// A chunk is read only: no WAL sender keeps anything of it.
constexpr std::int64_t kNoDecodeLimit = std::int64_t{1} << 40;

[[noreturn]] void refuse(std::vector<std::string> reasons) {
  throw exchange::ExchangeRefused("a foreign key of the script cannot be made",
                                  std::move(reasons));
}

// One foreign key of the script. Nothing of ours writes while the new table is
// walked through, so that no row is moved from where it is not yet looked to
// where it was looked already.
class Look {
 public:
  Look(Context& context, const plan::MigratedTable& table,
       const plan::AddedForeignKey& key)
      : context_(context),
        table_(table),
        key_(key),
        connection_(context.open("look", context.stop)) {
    // There is a unique index on what is referred to. Without it, a chunk would
    // read all of the other table.
    refresh::prefer_key_lookups(connection_);
  }

  void run() {
    log::info("verify", "looking for rows without a match",
              "table={} foreign_key={} references={}",
              table_.target.source.display(), key_.name,
              key_.referenced.display());
    for (int look = 1; look <= kLooksMax; ++look) {
      const Unmatched found = walk(nullptr);
      PGRECAST_SYNC_POINT("references:looked");
      if (found.empty()) return;
      // All shadows are their sources as of one snapshot. Of another table
      // rows may have gone since, with those that referred to them.
      if (is_ours()) reject(found);
      const Unmatched still = walk(&found);
      if (!still.empty()) reject(still);
      if (found.size() < kUnmatchedMax) return;
    }
    log::warn("verify", "rows without a match come and go, looking no further",
              "table={} foreign_key={} next='validated after the exchange'",
              table_.target.source.display(), key_.name);
  }

 private:
  bool is_ours() const {
    return std::ranges::any_of(context_.tables,
                               [&](const plan::MigratedTable& other) {
                                 return other.target.source == key_.referenced;
                               });
  }

  // The rows that it may refer to, as FROM names them.
  std::string referenced() {
    for (const plan::MigratedTable& other : context_.tables) {
      if (other.target.source == key_.referenced) {
        return other.target.whole_shadow();
      }
    }
    std::vector<const plan::TableTarget*> targets;
    for (const plan::MigratedTable& table : context_.tables) {
      targets.push_back(&table.target);
    }
    auto lost = plan::lost_references(connection_, targets);
    if (!lost.empty()) refuse(std::move(lost));
    const pg::Result kind = connection_.exec(
        "SELECT relkind = 'p' FROM pg_catalog.pg_class"
        " WHERE oid = pg_catalog.to_regclass($1)::pg_catalog.oid",
        {key_.referenced.quoted()});
    return (kind.boolean(0, 0) ? "" : "ONLY ") + key_.referenced.quoted();
  }

  // Right behind an exact round. `among`: only these keys.
  Unmatched walk(const Unmatched* among) {
    catch_up(context_, true);
    PGRECAST_SYNC_POINT("references:walk");
    pg::Param keys(std::nullopt);
    if (among != nullptr) {
      std::vector<std::string> names;
      for (const auto& [name, refers] : *among) names.push_back(name);
      keys = pg::array_literal(names);
    }
    const std::string to = referenced();
    copy::Chunker chunks(
        copy::ranges_left(catalog::count_blocks(connection_, table_.shadow_oid),
                          {}),
        {.decode_bytes_max = kNoDecodeLimit});
    Unmatched found;
    while (const auto chunk = chunks.next()) {
      if (found.size() == kUnmatchedMax) break;
      const auto begin = Clock::now();
      const pg::Result rows =
          pg::retried(connection_, "looking for rows without a match", [&] {
            return look_at(*chunk, to, keys, kUnmatchedMax - found.size());
          });
      chunks.took(
          *chunk, 0,
          std::chrono::duration_cast<milliseconds>(Clock::now() - begin));
      for (int row = 0; row < rows.rows(); ++row) {
        found.emplace(rows.text(row, 0), rows.text(row, 1));
      }
    }
    return found;
  }

  pg::Result look_at(const copy::BlockRange& chunk, const std::string& to,
                     const pg::Param& keys, std::size_t limit) {
    try {
      return connection_.exec(
          fmt::format(
              "SELECT name, refers FROM ({}) AS f(name, refers)"
              " WHERE $1::pg_catalog.text[] IS NULL OR name = ANY ($1) LIMIT "
              "{}",
              plan::unmatched_rows(
                  table_.target, key_, to,
                  fmt::format("s.ctid >= '({},0)' AND s.ctid < '({},0)'",
                              chunk.first, chunk.end)),
              limit),
          {keys});
    } catch (const pg::SqlError& error) {
      // Syntax Error or Access Rule Violation: what was there at the plan is
      // gone, or is not for us any more.
      if (!error.sqlstate().starts_with("42")) throw;
      refuse({error.what()});
    }
  }

  [[noreturn]] void reject(const Unmatched& found) const {
    std::vector<std::string> rows;
    for (const auto& [name, refers] : found) {
      if (rows.size() == plan::kRejectedKeysShown) break;
      rows.push_back(fmt::format("{}: {}", name, refers));
    }
    throw copy::DataRejected(
        fmt::format("rows of {} refer to what is not in {}, and would break "
                    "foreign key {} of the script",
                    table_.target.source.display(), key_.referenced.display(),
                    key_.name),
        std::move(rows));
  }

  Context& context_;
  const plan::MigratedTable& table_;
  const plan::AddedForeignKey& key_;
  pg::Connection connection_;
};

}  // namespace

void look_for_references(Context& context) {
  for (const plan::MigratedTable& table : context.tables) {
    for (const plan::AddedForeignKey& key : table.target.added_foreign_keys) {
      if (key.validated) Look(context, table, key).run();
    }
  }
}

}  // namespace pgrecast::migration
