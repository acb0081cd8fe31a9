#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/migrated_table.h"

#include <cstddef>
#include <string>
#include <vector>

// Who is to blame where the shadow refuses rows of the source.
namespace pgrecast::plan {

// Rows of the source break a constraint or a conversion of the new shape, or
// fit no partition. Holds the keys of some of them, as text, for the operator.
class DataRejected : public Error {
 public:
  DataRejected(const std::string& message, std::vector<std::string> keys)
      : Error(message, Remedy::kFail), keys_(std::move(keys)) {}

  const std::vector<std::string>& keys() const { return keys_; }

 private:
  std::vector<std::string> keys_;
};

inline constexpr std::size_t kRejectedKeysShown = 10;

// Whether `insert` is taken; leaves nothing behind. In a transaction.
bool is_taken(pg::Connection& connection, const std::string& insert,
              const std::vector<pg::Param>& params = {});

// The key's columns of one row, as a person reads them: an expression.
std::string key_shown(const MigratedTable& table);

// The keys of some of the rows that `from` yields (see SelectList::rows) and
// for which `condition` holds, both with `params`, and which the shadow refuses
// one by one. None where they are in each other's way only. In a transaction of
// its own, rolled back.
std::vector<std::string> rejected_rows(pg::Connection& connection,
                                       const MigratedTable& table,
                                       const std::string& from,
                                       const std::string& condition,
                                       const std::vector<pg::Param>& params);

}  // namespace pgrecast::plan
