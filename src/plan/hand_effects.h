#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/native.h"
#include "pgrecast/script/script.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace pgrecast::plan {

// What shows of a statement's work: the files that tables and their indexes
// are in, and how often the tables were read as a whole in this session.
struct TableFiles {
  std::map<catalog::Oid, catalog::Oid> heaps;  // by table
  std::set<catalog::Oid> indexes;
  std::int64_t scans = 0;
};

// Of `tables` and their partitions. The server counts scans where track_counts
// is on.
TableFiles read_files(pg::Connection& connection,
                      const std::vector<catalog::Oid>& tables);

// An UPDATE or DELETE may find no row in a sample, and a CREATE TABLE leaves
// nothing to compare: the statement says that much by itself.
Effect effect_of(const script::Statement& statement, const TableFiles& before,
                 const TableFiles& after);

// The statement's lock on `object`, the table's or index's name, and what can
// be done instead; `partitioned`: where that is a table with partitions.
NativeStep native_step(const script::Script& script,
                       const script::Statement& statement, Effect effect,
                       const std::string& object, bool partitioned);

}  // namespace pgrecast::plan
