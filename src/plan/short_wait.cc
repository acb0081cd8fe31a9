#include "short_wait.h"

#include "pgrecast/base/error.h"
#include "pgrecast/pg/errors.h"

#include <fmt/format.h>

namespace pgrecast::plan {
namespace {

// Those behind whom ACCESS SHARE waits: who has the lock, and who queues for
// it.
constexpr const char* kHolders = R"sql(
SELECT pg_catalog.string_agg(DISTINCT
  CASE WHEN l.pid IS NULL THEN 'a prepared transaction'
       ELSE pg_catalog.format('pid %s (%s, %s%s)', l.pid,
              COALESCE(NULLIF(a.application_name, ''), 'unnamed'),
              COALESCE(a.state, 'state not visible to this role'),
              CASE WHEN l.granted THEN '' ELSE ', waits for its lock' END) END,
  ', ')
FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
                    WHERE d.datname = pg_catalog.current_database())
  AND l.relation = $1::pg_catalog.oid)sql";

std::string holders(pg::Connection& connection, catalog::Oid oid) {
  const pg::Result who = connection.exec(kHolders, {oid});
  return std::string(who.is_null(0, 0) ? "somebody, who is gone now"
                                       : who.text(0, 0));
}

}  // namespace

void wait_for_seconds(pg::Connection& connection, catalog::Oid oid,
                      const std::string& shown,
                      const std::function<void()>& work) {
  connection.exec("SAVEPOINT pgrecast_wait; SET LOCAL lock_timeout = '5s'");
  try {
    work();
  } catch (const pg::SqlError& error) {
    if (error.sqlstate() != pg::sqlstate::kLockNotAvailable) throw;
    connection.exec("ROLLBACK TO SAVEPOINT pgrecast_wait");
    throw Refused(fmt::format("{} has been locked for seconds by {}", shown,
                              holders(connection, oid)),
                  "try again when that lock is gone");
  }
  connection.exec("RELEASE SAVEPOINT pgrecast_wait");
}

}  // namespace pgrecast::plan
