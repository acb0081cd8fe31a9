#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::catalog {

// The source is not what its fingerprint says any more; whether to restart, to
// verify again or to stop is decided by whoever reads the new one.
class FingerprintMismatch : public Error {
 public:
  explicit FingerprintMismatch(const std::string& message)
      : Error(message, Remedy::kFail) {}
};

// What every transaction of ours that writes begins with: locks on the sources
// first, which also keep them as they are; then the proof that this process
// still owns the migration, and that the sources are what the plan saw. Only
// then a snapshot may be taken. (Under REPEATABLE READ this takes it, after the
// locks.)
//
// Plain text made once; any thread with its own session.
class SourceGuard {
 public:
  // One row if and only if we own the migration; locks it against takeover
  // until the transaction ends.
  explicit SourceGuard(std::string ownership_query)
      : ownership_query_(std::move(ownership_query)) {}

  // `check` is fingerprint_check()'s statement. A partitioned table is locked
  // with all its partitions, its own lock first.
  void add_source(const std::string& quoted_name, std::string check,
                  bool partitioned = false);

  // Locks nothing: for transactions that do not touch the sources. Throws
  // OwnershipLost.
  void prove_ownership(pg::Connection& connection) const;

  // The locks are given 10 s, and so is what the transaction locks later.
  // Throws OwnershipLost, FingerprintMismatch, SqlError (see pg::retried).
  void enter(pg::Connection& connection) const;

  // The same without locking: the caller holds stronger locks.
  void check_locked(pg::Connection& connection) const;

 private:
  std::string ownership_query_;
  std::string lock_;
  std::vector<std::string> checks_;
};

}  // namespace pgrecast::catalog
