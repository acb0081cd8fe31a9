#pragma once

#include "pgrecast/plan/plan.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pgrecast::migration {

// A column before and after, each as CREATE TABLE would have it.
struct ColumnChange {
  std::string name;          // in the new table; a dropped one's old name
  std::string renamed_from;  // empty: it keeps its name
  std::string before;        // empty: added
  std::string after;         // empty: dropped

  bool changed() const { return before != after || !renamed_from.empty(); }
};

// An index, a constraint, an option, a comment that the script adds, drops or
// changes; or that goes with a column.
struct ShapeChange {
  std::string what;    // index orders_region_idx
  std::string before;  // empty: added
  std::string after;   // empty: dropped
};

// A partition before and after: FOR VALUES .., and what it is partitioned by.
struct PartitionChange {
  std::string name;
  std::string before;  // empty: added
  std::string after;   // empty: it stays with the old table
};

// What a statement does to the rows.
struct RowChange {
  int line = 0;                      // of the script
  std::vector<std::string> columns;  // set by UPDATE, or by USING
  std::string condition;             // as the script has it; empty: every row
  bool left_behind = false;          // DELETE: those rows stay in the old table
};

// What belongs to the table or depends on it, by kind.
struct CarriedKind {
  std::string kind;  // in the plural
  std::vector<std::string> names;
  std::string how;
};

// Of a partitioned table: its leaves together, and its own indexes.
struct TableSize {
  double rows = 0;  // an estimate of the server's
  bool rows_known = false;
  std::int64_t heap_bytes = 0;
  std::int64_t toast_bytes = 0;
  std::int64_t index_bytes = 0;
  int index_count = 0;

  std::int64_t bytes() const { return heap_bytes + toast_bytes + index_bytes; }
};

struct TableReport {
  TableSize size;
  std::vector<ColumnChange> columns;  // in the new order, dropped ones last
  std::vector<ShapeChange> changes;   // of everything that is no column
  std::vector<PartitionChange> partitions;  // at every level, parents first
  std::vector<RowChange> rows;
  std::vector<std::string> ddl;  // the new table, under its name; no semicolons
  std::string select;            // the rows of the new table, as a query
  std::vector<CarriedKind> carried;
  // Those that the script's UPDATEs and DELETEs would have fired by hand.
  std::vector<std::string> silent_triggers;
};

// A lock on something that others use, too, taken by one of our steps. What
// only the migration uses (its own schema, and schema pgrecast) is left out. A
// partitioned table stands for its partitions, too.
struct StepLock {
  std::string step;  // prepare, copy, settle, ..: see kSteps
  std::string mode;  // as LOCK TABLE names it
  std::vector<std::string> objects;
  std::string held;     // for how long
  std::string waited;   // for how long it is queued for
  std::string hinders;  // whom it keeps waiting
};

// What a migration would have to wait for, as of now.
struct Hindrance {
  std::string what;  // pid 4411 (psql, idle in transaction)
  std::int64_t age_s = 0;
  std::string effect;  // what waits for it
};

// A replication slot of somebody else's: the WAL that it keeps.
struct OtherSlot {
  std::string name;
  std::string kind;  // logical, physical
  bool active = false;
  std::int64_t lag_bytes = 0;
};

// Estimates. The server tells nobody but superusers what is free on its disk.
struct DiskReport {
  std::int64_t copy_bytes = 0;  // tables and indexes, as large as they are now
  std::int64_t wal_bytes = 0;   // written by copy and index builds
  // By our slot: --max-retained, or the server's limit, where that is less.
  std::int64_t kept_wal_bytes_max = 0;
  // Of the change buffer's folder, here; nullopt: not told.
  std::optional<std::int64_t> state_dir_free_bytes;
};

// Estimates, from what the plan tried on a sample of the rows under the load of
// that moment. Left out: waiting for others, foreign keys, materialized views,
// and what the application writes meanwhile.
struct TimeReport {
  // By one session, of all tables.
  double copy_s = 0;
  double index_s = 0;
  double verify_s = 0;
  int workers = 0;  // that share them
  // If they do not hinder each other, and if each waits for the other.
  double least_s = 0;
  double most_s = 0;
  std::int64_t sampled_bytes = 0;
};

// Everything that a plan says: plain values, printed by cli/plan_text.h and
// cli/plan_json.h.
struct PlanReport {
  plan::Plan plan;
  std::vector<TableReport> tables;    // as plan.targets
  std::vector<StepLock> locks;        // in the order of the steps
  std::vector<Hindrance> hindrances;  // the oldest first
  std::vector<OtherSlot> other_slots;
  std::vector<std::string> schemas;  // all that are made, and removed again
  DiskReport disk;
  std::optional<TimeReport> time;  // nullopt: plan.notes say why
};

}  // namespace pgrecast::migration
