#pragma once

#include "pgrecast/base/log.h"
#include "pgrecast/pg/connection.h"

#include <exception>

namespace pgrecast::plan {

// SAVEPOINT .. ROLLBACK TO: whatever happens within leaves nothing behind, no
// setting and no lock either.
class Savepoint {
 public:
  explicit Savepoint(pg::Connection& connection) : connection_(&connection) {
    connection.exec("SAVEPOINT pgrecast");
  }
  Savepoint(const Savepoint&) = delete;
  Savepoint& operator=(const Savepoint&) = delete;

  ~Savepoint() {
    try {
      connection_->cleanup(
          "ROLLBACK TO SAVEPOINT pgrecast; RELEASE SAVEPOINT pgrecast");
    } catch (const std::exception& error) {
      // The session is gone, and with it the transaction.
      log::debug("plan", "no rollback", "error={}", error.what());
    }
  }

 private:
  pg::Connection* connection_;
};

}  // namespace pgrecast::plan
