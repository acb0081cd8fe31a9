#include "pgrecast/catalog/source_guard.h"

#include "pgrecast/base/sync_point.h"
#include "pgrecast/pg/errors.h"

#include <fmt/format.h>

#include <utility>

namespace pgrecast::catalog {
namespace {

// How long a transaction of ours stands in the queue behind somebody's ALTER
// TABLE of a source before it is begun again.
constexpr const char* kLockTimeMax = "10s";

}  // namespace

void SourceGuard::add_source(const std::string& quoted_name, std::string check,
                             bool partitioned) {
  lock_ += lock_.empty() ? "LOCK TABLE " : ", ";
  lock_ += (partitioned ? "" : "ONLY ") + quoted_name;
  checks_.push_back(std::move(check));
}

void SourceGuard::prove_ownership(pg::Connection& connection) const {
  if (!rule_on("owner")) return;
  const char* const kLost = "another process has taken this migration over";
  try {
    if (connection.exec(ownership_query_).empty()) throw OwnershipLost(kLost);
  } catch (const pg::SqlError& error) {
    // Under REPEATABLE READ: the row was changed after our snapshot, and
    // nothing but a takeover changes it.
    if (error.sqlstate() != pg::sqlstate::kSerializationFailure) throw;
    throw OwnershipLost(kLost);
  }
}

void SourceGuard::enter(pg::Connection& connection) const {
  connection.exec(
      fmt::format("SET LOCAL lock_timeout = '{}'; {} IN ACCESS "
                  "SHARE MODE",
                  kLockTimeMax, lock_));
  check_locked(connection);
}

void SourceGuard::check_locked(pg::Connection& connection) const {
  prove_ownership(connection);
  for (const std::string& check : checks_) {
    if (!connection.exec(check).boolean(0, 0)) {
      throw FingerprintMismatch("the source was changed by somebody");
    }
  }
}

}  // namespace pgrecast::catalog
