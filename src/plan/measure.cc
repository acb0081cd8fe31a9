#include "measure.h"

#include "pgrecast/base/deadline.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include "savepoint.h"
#include "script_settings.h"
#include "sequences.h"
#include "shadow_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace pgrecast::plan {
namespace {

using catalog::Heap;
using catalog::Table;

// Half a megabyte at a time: long enough that what a statement costs in itself
// does not count.
constexpr std::int64_t kStretchBlocks = 64;
constexpr std::int64_t kStretches = 32;  // of all tables
constexpr auto kCopyTimeMax = std::chrono::milliseconds(1000);
// A range of keys is read; a larger one, the more like verification's, unless
// the first took long enough to tell.
constexpr int kRowsByKeyAtFirst = 500;
constexpr int kRowsByKey = 20000;
constexpr double kEnoughSeconds = 0.1;
// Of each index and each comparison: then it is not known.
constexpr const char* kStatementTime = "SET LOCAL statement_timeout = 2000";

// Blocks of one heap: of the source, or of one of its leaves.
struct Stretch {
  catalog::QualifiedName heap;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

std::vector<Heap> heaps_of(pg::Connection& connection, const Table& source) {
  if (source.partitioned()) return catalog::read_leaves(connection, source.oid);
  return {{.oid = source.oid,
           .name = source.name,
           .blocks = catalog::count_blocks(connection, source.oid)}};
}

std::int64_t blocks_of(const std::vector<Heap>& heaps) {
  std::int64_t blocks = 0;
  for (const Heap& heap : heaps) blocks += heap.blocks;
  return blocks;
}

// From all over the table, which need not be the same everywhere: the heaps'
// blocks count as one range after the other.
std::vector<Stretch> spread(const std::vector<Heap>& heaps,
                            std::int64_t stretches) {
  const std::int64_t blocks = blocks_of(heaps);
  const bool all = blocks <= stretches * kStretchBlocks;
  const double step =
      all ? static_cast<double>(kStretchBlocks)
          : static_cast<double>(blocks) / static_cast<double>(stretches);
  std::vector<Stretch> result;
  std::int64_t first = 0;
  double next = 0;
  for (const Heap& heap : heaps) {
    const std::int64_t behind = first + heap.blocks;
    std::int64_t from = std::max(first, static_cast<std::int64_t>(next));
    while (from < behind) {
      const std::int64_t end = std::min(behind, from + kStretchBlocks);
      result.push_back({heap.name, from - first, end - first});
      // In short leaves a stretch ends early, and the next one begins there.
      next = all ? static_cast<double>(end) : next + step;
      from = std::max(end, static_cast<std::int64_t>(next));
    }
    first = behind;
  }
  return result;
}

// In the order in which a measurement may be broken off: the middle first, then
// what halves the rest.
void shuffle(std::vector<Stretch>& stretches) {
  if (stretches.empty()) return;
  std::vector<Stretch> ordered;
  for (std::size_t step = std::bit_ceil(stretches.size()); step > 1;
       step /= 2) {
    for (std::size_t i = step / 2; i < stretches.size(); i += step) {
      ordered.push_back(stretches[i]);
    }
  }
  ordered.push_back(stretches.front());
  stretches = std::move(ordered);
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <typename Action>
double timed(const Action& action) {
  const auto begin = Clock::now();
  action();
  return seconds_since(begin);
}

std::string within(const std::string& alias, const Stretch& stretch) {
  return fmt::format(
      "{0}.ctid OPERATOR(pg_catalog.>=) '({1},0)' AND {0}.ctid "
      "OPERATOR(pg_catalog.<) '({2},0)'",
      alias, stretch.begin, stretch.end);
}

// The source's columns, and where the rows lie, of some stretches alone.
std::string rows_of(const Table& source,
                    const std::vector<Stretch>& stretches) {
  std::vector<std::string> columns;
  for (const catalog::Column& column : source.columns) {
    columns.push_back(pg::quote_identifier(column.name));
  }
  columns.emplace_back("ctid");
  columns.emplace_back("tableoid");
  std::vector<std::string> parts;
  for (const Stretch& stretch : stretches) {
    parts.push_back(fmt::format("SELECT {} FROM ONLY {} AS h WHERE {}",
                                join(columns, ", "), stretch.heap.quoted(),
                                within("h", stretch)));
  }
  return "(" + join(parts, " UNION ALL ") + ")";
}

class Measurement {
 public:
  Measurement(pg::Connection& connection, const script::Script& script,
              const Plan& plan, std::size_t table)
      : connection_(&connection),
        as_script_(connection, script, plan.settings),
        settings_(&plan.settings),
        source_(&plan.sources[table]),
        target_(&plan.targets[table]) {}

  MeasuredTime of_whole_table(std::int64_t stretches, Clock::duration time);

 private:
  void copy(std::vector<Stretch> stretches, Deadline deadline);
  void build_indexes();
  void compare();
  double out_of_order();
  // What took `seconds` for the sample, if it takes a time for each row ..
  double whole(double seconds) const { return seconds * times_; }
  // .. and if it sorts them.
  double sorted(double seconds) const {
    const double sampled = std::max(rows_, 2.0);
    const double all = std::max(sampled * times_, 2.0);
    return whole(seconds) * std::log2(all) / std::log2(sampled);
  }

  pg::Connection* connection_;
  ScriptSettings as_script_;
  const catalog::Settings* settings_;
  const Table* source_;
  const TableTarget* target_;
  std::vector<Stretch> copied_;
  double rows_ = 0;   // copied
  double times_ = 0;  // as large as the sample is the table
  MeasuredTime result_;
};

void Measurement::copy(std::vector<Stretch> stretches, Deadline deadline) {
  shuffle(stretches);
  std::int64_t blocks = 0;
  double seconds = 0;
  double read = 0;
  for (const Stretch& stretch : stretches) {
    const SelectList& select = target_->select;
    seconds += timed([&] {
      const pg::Result copied = connection_->exec(
          fmt::format("INSERT INTO {} {} {}", target_->shadow.quoted(),
                      select.insert_target(),
                      select.rows(within(select.alias(), stretch),
                                  "ONLY " + stretch.heap.quoted())));
      read += static_cast<double>(copied.affected());
    });
    blocks += stretch.end - stretch.begin;
    copied_.push_back(stretch);
    if (deadline.passed()) break;
  }
  rows_ = read;
  result_.copy_s = seconds;
  result_.sampled_bytes = static_cast<double>(blocks);
}

void Measurement::build_indexes() {
  catalog::apply_resources(*connection_, *settings_);
  result_.key_index_s =
      sorted(timed([&] { build_index(*connection_, target_->key_index); }));
  for (const ShadowIndex& index : target_->indexes) {
    const double time =
        sorted(timed([&] { build_index(*connection_, index); }));
    result_.indexes_s += time;
    result_.longest_index_s = std::max(result_.longest_index_s, time);
  }
}

// As verification does it, of the rows that were copied.
void Measurement::compare() {
  const SelectList& select = target_->select;
  std::vector<std::string> was;
  std::vector<std::string> is_now;
  for (const std::string& column : select.parts().compare_columns) {
    was.push_back("was." + pg::quote_identifier(column));
    is_now.push_back("is_now." + pg::quote_identifier(column));
  }
  std::vector<std::string> on;
  const auto& key = source_->key.value().columns;
  for (std::size_t i = 0; i < key.size(); ++i) {
    on.push_back(fmt::format("was.{0} {1} is_now.{0}",
                             pg::quote_identifier(target_->shadow_key[i]),
                             key[i].equals));
  }
  const double time = timed([&] {
    connection_->exec(fmt::format(
        "SELECT pg_catalog.count(*) FROM ({}) AS was FULL JOIN ({}) AS is_now "
        "ON {} WHERE NOT pg_catalog.record_image_eq(ROW({}), ROW({}))",
        select.rows_to_compare("true", rows_of(*source_, copied_)),
        select.shadow_to_compare(target_->shadow.quoted(), "true"),
        join(on, " AND "), join(was, ", "), join(is_now, ", ")));
  });
  result_.verify_s = whole(time) + 2 * result_.rows * out_of_order();
}

// Verification goes by the key, on both sides, and the rows need not lie in its
// order: what one more costs than in the order of the blocks.
double Measurement::out_of_order() {
  const Stretch& stretch = copied_.front();
  // h and s themselves, all of the row, so that no index alone can answer.
  const std::string blocks = fmt::format(
      "ONLY {} AS h WHERE {}", stretch.heap.quoted(), within("h", stretch));
  std::int64_t read = 0;
  const double by_block = timed([&] {
    read = connection_->exec("SELECT pg_catalog.count(h) FROM " + blocks)
               .number<std::int64_t>(0, 0);
  });
  const catalog::KeyColumn& key = source_->key.value().columns.front();
  const std::string name = pg::quote_identifier(key.name);
  const std::string begin =
      fmt::format("(SELECT h.{} FROM {} LIMIT 1)", name, blocks);
  for (const int rows : {kRowsByKeyAtFirst, kRowsByKey}) {
    std::int64_t found = 0;
    const double by_key = timed([&] {
      found = connection_
                  ->exec(fmt::format(
                      "SELECT pg_catalog.count(s) FROM {0} AS s WHERE {1} {2} "
                      "s.{3} AND s.{3} {2} (SELECT e.{3} FROM {0} AS e WHERE "
                      "{1} {2} e.{3} ORDER BY e.{3} USING {4} OFFSET {5} LIMIT "
                      "1)",
                      source_->whole(), begin, key.less_equal, name, key.less,
                      rows))
                  .number<std::int64_t>(0, 0);
    });
    if (found == 0 || read == 0) return 0;
    if (rows == kRowsByKeyAtFirst && by_key < kEnoughSeconds) continue;
    return std::max(by_key / static_cast<double>(found) -
                        by_block / static_cast<double>(read),
                    0.0);
  }
  return 0;
}

MeasuredTime Measurement::of_whole_table(std::int64_t stretches,
                                         Clock::duration time) {
  const std::vector<Heap> heaps = heaps_of(*connection_, *source_);
  as_script_.enter(*settings_);
  copy(spread(heaps, stretches), Deadline::in(time));
  as_script_.leave();
  if (copied_.empty()) return result_;
  const double blocks = result_.sampled_bytes;
  times_ = static_cast<double>(blocks_of(heaps)) / blocks;
  result_.copy_s = whole(result_.copy_s);
  result_.rows = whole(rows_);
  build_indexes();
  as_script_.enter(*settings_);
  compare();
  const pg::Result size =
      connection_->exec("SELECT pg_catalog.current_setting('block_size')");
  result_.sampled_bytes =
      blocks * static_cast<double>(size.number<std::int64_t>(0, 0));
  return result_;
}

}  // namespace

void measure(pg::Connection& connection, const script::Script& script,
             Plan& plan) {
  const auto not_known = [&](const std::string& why) {
    plan.notes.push_back("how long it will take was not measured: " + why);
  };
  const auto count = static_cast<std::int64_t>(plan.targets.size());
  std::vector<MeasuredTime> measured;
  for (std::size_t i = 0; i < plan.targets.size(); ++i) {
    if (sequence_drawn_from(connection, plan.targets[i], plan.sources[i])) {
      return not_known(
          "the script draws from a sequence, which a plan must not do");
    }
    const Savepoint everything(connection);
    try {
      connection.exec(kStatementTime);
      measured.push_back(
          Measurement(connection, script, plan, i)
              .of_whole_table(std::max<std::int64_t>(kStretches / count, 1),
                              kCopyTimeMax / count));
    } catch (const pg::SqlError& error) {
      return not_known(
          error.sqlstate() == pg::sqlstate::kQueryCanceled
              ? "even a sample of the rows takes too long"
              : fmt::format("with a sample of the rows the server says: {}",
                            error.what()));
    }
  }
  plan.measured = std::move(measured);
}

}  // namespace pgrecast::plan
