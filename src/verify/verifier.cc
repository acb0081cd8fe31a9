#include "pgrecast/verify/verifier.h"

#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace pgrecast::verify {
namespace {

using pg::quote_identifier;

// A range's transaction holds a snapshot and a lock for about this long.
constexpr milliseconds kRangeTarget{500};
// Rows may be documents of megabytes.
constexpr std::int64_t kRowsAtFirst = 500;
constexpr std::int64_t kRowsMax = 500000;
constexpr std::size_t kDifferencesKept = 1000;
// Of both sides together: the server joins rows of 1664 columns at most. Wider
// ones are joined as one value each; only these, as that holds what would
// otherwise be left in TOAST.
constexpr std::size_t kJoinedColumnsMax = 1600;
// Values are written as in the stream, until the transaction ends.
constexpr const char* kStreamsOutput =
    "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = postgres;"
    "SET LOCAL timezone = 'UTC'; SET LOCAL bytea_output = hex;"
    "SET LOCAL extra_float_digits = 3";

// Whether the key `names` lies behind `values` or, `up_to`, not, by the key
// index's own order. As a comparison of rows, for which an index can be used,
// where all columns have the same operator.
std::string compared(const std::vector<catalog::KeyColumn>& columns,
                     const std::vector<std::string>& names,
                     const std::vector<std::string>& values, bool up_to) {
  const auto last =
      up_to ? &catalog::KeyColumn::less_equal : &catalog::KeyColumn::greater;
  const auto strict =
      up_to ? &catalog::KeyColumn::less : &catalog::KeyColumn::greater;
  const std::string op = columns.front().*last;
  const bool one_operator = std::ranges::all_of(
      columns,
      [&](const catalog::KeyColumn& column) { return column.*last == op; });
  if (one_operator) {
    return fmt::format("ROW({}) {} ROW({})", join(names, ", "), op,
                       join(values, ", "));
  }
  std::string condition = fmt::format("{} {} {}", names.back(),
                                      columns.back().*last, values.back());
  for (std::size_t i = columns.size() - 1; i-- > 0;) {
    condition = fmt::format("({0} {1} {2} OR {0} {3} {2} AND ({4}))", names[i],
                            columns[i].*strict, values[i], columns[i].equals,
                            condition);
  }
  return condition;
}

bool joined_whole(const plan::TableTarget& target) {
  return 2 * target.select.parts().compare_columns.size() > kJoinedColumnsMax;
}

// A name that no column of the key has.
std::string whole_column(const plan::TableTarget& target) {
  std::string name = "whole";
  while (std::ranges::find(target.shadow_key, name) !=
         target.shadow_key.end()) {
    name += '_';
  }
  return name;
}

std::string row_of(const plan::TableTarget& target, const std::string& side) {
  if (joined_whole(target)) return side + "." + whole_column(target);
  std::vector<std::string> columns;
  for (const std::string& column : target.select.parts().compare_columns) {
    columns.push_back(side + "." + quote_identifier(column));
  }
  return fmt::format("ROW({})", join(columns, ", "));
}

// `query` answers rows to compare.
std::string to_join(const plan::TableTarget& target, std::string query) {
  if (!joined_whole(target)) return query;
  std::vector<std::string> columns;
  for (const std::string& column : target.select.parts().compare_columns) {
    columns.push_back(quote_identifier(column));
  }
  std::string kept =
      target.select.ctid_column() + ", " + target.select.heap_column();
  for (const std::string& key : target.shadow_key) {
    kept += ", " + quote_identifier(key);
  }
  return fmt::format("SELECT {}, ROW({}) AS {} FROM ({}) AS columns", kept,
                     join(columns, ", "), whole_column(target), query);
}

}  // namespace

void prefer_key_ranges(pg::Connection& connection) {
  connection.exec(
      "SET enable_seqscan = off; SET enable_sort = off;"
      "SET max_parallel_workers_per_gather = 0");
}

Pass::Pass(Parts parts) : parts_(parts), rows_per_range_(kRowsAtFirst) {}

std::uint64_t Pass::rows() const {
  const std::lock_guard lock(mutex_);
  return rows_;
}

bool Pass::finished() const {
  const std::lock_guard lock(mutex_);
  return all_given_ && given_back_.empty() && under_way_ == 0;
}

std::uint64_t Pass::difference_count() const {
  const std::lock_guard lock(mutex_);
  return difference_count_;
}

std::vector<Difference> Pass::take_differences() {
  const std::lock_guard lock(mutex_);
  return std::exchange(differences_, {});
}

// (CAST('..' AS type), ..) as a relation's columns, for the key expressions.
std::string Pass::key_values(const std::vector<std::string>& key) const {
  std::vector<std::string> values;
  const auto& columns = parts_.table->source.key.value().columns;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    values.push_back(fmt::format("CAST({} AS {}) AS {}",
                                 pg::quote_literal(key[i]), columns[i].type,
                                 quote_identifier(columns[i].name)));
  }
  return fmt::format("(SELECT {}) AS keys", join(values, ", "));
}

std::string Pass::source_condition(const Range& range) const {
  const auto& columns = parts_.table->source.key.value().columns;
  std::vector<std::string> names;
  names.reserve(columns.size());
  for (const catalog::KeyColumn& column : columns) {
    names.push_back(parts_.table->target.select.alias() + "." +
                    quote_identifier(column.name));
  }
  const auto bound = [&](const std::vector<std::string>& key) {
    std::vector<std::string> values;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      values.push_back(fmt::format("CAST({} AS {})", pg::quote_literal(key[i]),
                                   columns[i].type));
    }
    return values;
  };
  std::string condition = "true";
  if (range.after) {
    condition += " AND " + compared(columns, names, bound(*range.after), false);
  }
  if (range.up_to) {
    condition += " AND " + compared(columns, names, bound(*range.up_to), true);
  }
  return condition;
}

std::string Pass::shadow_condition(const Range& range) const {
  const plan::TableTarget& target = parts_.table->target;
  const auto& columns = parts_.table->source.key.value().columns;
  std::vector<std::string> names;
  for (const std::string& name : target.shadow_key) {
    names.push_back(quote_identifier(name));
  }
  const auto bound = [&](const std::vector<std::string>& key) {
    std::vector<std::string> values;
    for (const std::string& value : target.select.key_expressions("keys")) {
      values.push_back(
          fmt::format("(SELECT {} FROM {})", value, key_values(key)));
    }
    return values;
  };
  std::string condition = "true";
  if (range.after) {
    condition += " AND " + compared(columns, names, bound(*range.after), false);
  }
  if (range.up_to) {
    condition += " AND " + compared(columns, names, bound(*range.up_to), true);
  }
  return condition;
}

// Where the next range ends: so many keys further on in the source's index.
// The first and the last range are open, so that surplus keys of the shadow
// below or above all of the source's are found too.
std::optional<Pass::Range> Pass::next_range(pg::Connection& connection) {
  const std::lock_guard lock(mutex_);
  if (all_given_) return std::nullopt;
  std::vector<std::string> texts;
  std::vector<std::string> order;
  for (const catalog::KeyColumn& column :
       parts_.table->source.key.value().columns) {
    const std::string name = parts_.table->target.select.alias() + "." +
                             quote_identifier(column.name);
    texts.push_back(fmt::format("pg_catalog.format('%s', {})", name));
    order.push_back(fmt::format("{} USING {}", name, column.less));
  }
  Range range{.after = at_, .up_to = std::nullopt};
  // Under the script's settings the text of a key may be that of another one
  // (extra_float_digits), or be read otherwise than it was meant (a time zone's
  // abbreviation); ours can be read under all of them.
  connection.exec(fmt::format("SAVEPOINT range; {}", kStreamsOutput));
  const pg::Result end = connection.exec(fmt::format(
      "SELECT {} FROM {} AS {} WHERE {} ORDER BY {} OFFSET {} LIMIT 1",
      join(texts, ", "), parts_.table->target.select.from(),
      parts_.table->target.select.alias(), source_condition(range),
      join(order, ", "), rows_per_range_ - 1));
  connection.exec("ROLLBACK TO SAVEPOINT range; RELEASE SAVEPOINT range");
  if (end.empty()) {
    all_given_ = true;
  } else {
    std::vector<std::string> key;
    key.reserve(static_cast<std::size_t>(end.columns()));
    for (int i = 0; i < end.columns(); ++i) key.emplace_back(end.text(0, i));
    range.up_to = key;
    at_ = std::move(key);
  }
  ++under_way_;
  return range;
}

// `list` of what the source's rows become and what the shadow has, by key.
std::string Pass::joined_query(const Range& range, const std::string& list,
                               const std::string& how) const {
  const plan::TableTarget& target = parts_.table->target;
  const auto& key = parts_.table->source.key.value().columns;
  std::vector<std::string> on;
  for (std::size_t i = 0; i < target.shadow_key.size(); ++i) {
    on.push_back(fmt::format("was.{0} {1} is_now.{0}",
                             quote_identifier(target.shadow_key[i]),
                             key[i].equals));
  }
  return fmt::format(
      "SELECT {} FROM ({}) AS was {} JOIN ({}) AS is_now ON {}", list,
      to_join(target, target.select.rows_to_compare(source_condition(range))),
      how,
      to_join(target, target.select.shadow_to_compare(target.shadow.quoted(),
                                                      shadow_condition(range))),
      join(on, " AND "));
}

std::vector<Pass::Suspect> Pass::compare(pg::Connection& connection,
                                         const Range& range,
                                         std::uint64_t& rows) {
  const plan::TableTarget& target = parts_.table->target;
  // The function, not *=: between two ROW(..) that operator would be taken
  // column by column.
  const std::string& ctid = target.select.ctid_column();
  const std::string& heap = target.select.heap_column();
  // No index can keep a key from standing in two leaves.
  const bool may_be_twice = target.partitioned() && target.key_index_is_ours;
  const std::string differ = fmt::format(
      "was.{0} IS NOT NULL AND is_now.{0} IS NOT NULL AND NOT "
      "pg_catalog.record_image_eq({1}, {2})",
      ctid, row_of(target, "was"), row_of(target, "is_now"));
  const pg::Result result = connection.exec(joined_query(
      range,
      fmt::format(
          "pg_catalog.count(*),"
          " pg_catalog.array_agg(was.{0}) FILTER (WHERE {3}),"
          " pg_catalog.array_agg(was.{1}) FILTER (WHERE {3}),"
          " pg_catalog.array_agg(was.{0}) FILTER (WHERE is_now.{0} IS NULL),"
          " pg_catalog.array_agg(was.{1}) FILTER (WHERE is_now.{0} IS NULL),"
          " pg_catalog.array_agg(is_now.{0}) FILTER (WHERE was.{0} IS NULL),"
          " pg_catalog.array_agg(is_now.{1}) FILTER (WHERE was.{0} IS NULL),"
          " {2}",
          ctid, heap,
          may_be_twice
              ? fmt::format("pg_catalog.count(was.{0}) OPERATOR(pg_catalog.<>) "
                            "pg_catalog.count(DISTINCT (was.{1}, was.{0}))"
                            " FILTER (WHERE was.{0} IS NOT NULL)",
                            ctid, heap)
              : "false",
          differ),
      "FULL"));
  rows = result.number<std::uint64_t>(0, 0);
  std::vector<Suspect> suspects;
  const auto add = [&](const pg::Result& found, int column, bool of_source,
                       const char* what) {
    if (found.is_null(0, column)) return;
    const std::vector<pg::Param> places = {
        std::string(found.text(0, column)),
        std::string(found.text(0, column + 1))};
    std::ranges::move(read_keys(connection, places, of_source, what),
                      std::back_inserter(suspects));
  };
  add(result, 1, true, "different");
  add(result, 3, true, "missing");
  add(result, 5, false, "surplus");
  if (result.boolean(0, 7)) {
    const std::string place = fmt::format("was.{}, was.{}", ctid, heap);
    const pg::Result twice = connection.exec(
        fmt::format("SELECT pg_catalog.array_agg(found.{0}), "
                    "pg_catalog.array_agg(found.{1})"
                    " FROM ({2} GROUP BY {3} HAVING pg_catalog.count(*) "
                    "OPERATOR(pg_catalog.>) 1) AS found",
                    ctid, heap, joined_query(range, place, "INNER"), place));
    add(twice, 0, true, "twice");
  }
  return suspects;
}

// format() writes a value as the stream does, by its type's output function; a
// cast to text would not: 'ab' for char(3), 'true' for boolean.
std::string Pass::read_keys_query(bool of_source, bool as_source) const {
  const plan::TableTarget& target = parts_.table->target;
  std::vector<std::string> texts;
  std::size_t i = 0;
  for (const catalog::KeyColumn& column :
       parts_.table->source.key.value().columns) {
    const std::string name =
        quote_identifier(of_source ? column.name : target.shadow_key[i]);
    texts.push_back(fmt::format(
        "pg_catalog.format('%s', {})",
        as_source ? fmt::format("CAST({} AS {})", name, column.type) : name));
    ++i;
  }
  // In each leaf by the ctids of all of them, and of those its own.
  return fmt::format(
      "SELECT {} FROM {} AS found WHERE found.ctid OPERATOR(pg_catalog.=) ANY "
      "($1::pg_catalog.tid[]) AND EXISTS (SELECT FROM ROWS FROM ("
      "pg_catalog.unnest($2::pg_catalog.oid[]), "
      "pg_catalog.unnest($1::pg_catalog.tid[])) AS u(heap, place) "
      "WHERE u.heap OPERATOR(pg_catalog.=) found.tableoid "
      "AND u.place OPERATOR(pg_catalog.=) found.ctid)",
      join(texts, ", "),
      of_source ? target.select.from() : target.shadow.quoted());
}

// The keys of some rows as the stream writes them, whatever the script's
// settings are; in the same transaction, so that the ctids still hold.
std::vector<Pass::Suspect> Pass::read_keys(pg::Connection& connection,
                                           const std::vector<pg::Param>& places,
                                           bool of_source,
                                           const std::string& what) {
  connection.exec(fmt::format("{}; SAVEPOINT as_source", kStreamsOutput));
  bool as_source = true;
  const auto read = [&] {
    return connection.exec(read_keys_query(of_source, as_source), places);
  };
  const pg::Result result = [&] {
    try {
      return read();
    } catch (const pg::SqlError& error) {
      // Somebody wrote a key into the shadow that no source can have.
      if (of_source || !error.blames_data()) throw;
      connection.exec("ROLLBACK TO SAVEPOINT as_source");
      as_source = false;
      return read();
    }
  }();
  std::vector<Suspect> suspects;
  for (int row = 0; row < result.rows(); ++row) {
    Suspect suspect{.key = {}, .what = what, .can_be_dirty = as_source};
    for (int column = 0; column < result.columns(); ++column) {
      suspect.key.emplace_back(result.text(row, column));
    }
    suspects.push_back(std::move(suspect));
  }
  return suspects;
}

std::optional<Pass::Range> Pass::take_given_back() {
  std::optional<Range> range;
  const std::lock_guard lock(mutex_);
  if (given_back_.empty()) return range;
  range.emplace(std::move(given_back_.back()));
  given_back_.pop_back();
  ++under_way_;
  return range;
}

// False: no range was left. One whose transaction failed is handed out again.
bool Pass::compare_next(pg::Connection& connection, std::uint64_t& rows,
                        std::vector<Suspect>& suspects) {
  std::optional<Range> range;
  try {
    pg::Transaction transaction(connection,
                                pg::Transaction::Isolation::kRepeatableRead);
    parts_.guard->enter(connection);
    range = take_given_back();
    if (!range) range = next_range(connection);
    if (!range) return false;
    suspects = compare(connection, *range, rows);
    transaction.rollback();
    return true;
  } catch (const pg::SqlError&) {
    if (range) {
      const std::lock_guard lock(mutex_);
      --under_way_;
      given_back_.push_back(std::move(*range));
    }
    throw;
  }
}

bool Pass::verify_next(pg::Connection& connection,
                       const std::function<void(Deadline)>& fence) {
  const auto begin = Clock::now();
  // From before the snapshot until the last look into the buffer.
  const ForgetGate::Verifying gate(*parts_.gate);
  std::uint64_t rows = 0;
  std::vector<Suspect> suspects;
  if (!compare_next(connection, rows, suspects)) return false;
  std::vector<Difference> differences;
  if (!suspects.empty()) {
    // A change that the snapshot saw was committed before it, so after this
    // fence its key is in the buffer; and nothing was forgotten since.
    fence(Deadline::never());
    std::string encoded;
    for (Suspect& suspect : suspects) {
      if (suspect.can_be_dirty) {
        const std::vector<std::string_view> texts(suspect.key.begin(),
                                                  suspect.key.end());
        parts_.codec->encode(texts, encoded);
        const TableId id = parts_.table->target.ordinal;
        if (parts_.buffer->is_dirty(id, encoded)) continue;
        // Refreshed by the next round, and verified again.
        parts_.buffer->note_dirty(id, encoded, Xid64{});
      }
      differences.push_back({.table = parts_.table->target.source.display(),
                             .key = std::move(suspect.key),
                             .what = std::move(suspect.what)});
    }
  }
  const auto took =
      std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
  const std::lock_guard lock(mutex_);
  --under_way_;
  rows_ += rows;
  difference_count_ += differences.size();
  for (Difference& difference : differences) {
    if (differences_.size() == kDifferencesKept) break;
    differences_.push_back(std::move(difference));
  }
  if (took.count() > 0) {
    rows_per_range_ = std::clamp(
        std::min(rows_per_range_ * 2,
                 rows_per_range_ * kRangeTarget.count() / took.count()),
        std::int64_t{100}, kRowsMax);
  }
  return true;
}

}  // namespace pgrecast::verify
