#include "holders.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

namespace pgrecast::exchange {
namespace {

// Every granted lock conflicts with ACCESS EXCLUSIVE. Locks of a prepared
// transaction have no pid, and its xid only by way of the lock on that. Where
// this role may not see when a transaction began (no pg_monitor), it counts as
// new.
constexpr const char* kHolders = R"sql(
SELECT DISTINCT COALESCE(l.pid, 0), p.gid, a.application_name, a.state,
       COALESCE(EXTRACT(epoch FROM pg_catalog.clock_timestamp()
                        - COALESCE(a.xact_start, p.prepared)), 0)::pg_catalog.int8,
       l.relation::pg_catalog.regclass::pg_catalog.text,
       a.backend_type = 'autovacuum worker'
FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_catalog.pg_locks x
  ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'
 AND x.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE l.locktype = 'relation' AND l.granted
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
                    WHERE d.datname = pg_catalog.current_database())
  AND l.relation = ANY ($1::pg_catalog.oid[])
  AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
  AND (a.backend_type IS DISTINCT FROM 'autovacuum worker'
       OR a.query LIKE '%(to prevent wraparound)')
  AND pg_catalog.clock_timestamp()
      - COALESCE(a.xact_start, p.prepared, pg_catalog.clock_timestamp())
      >= $2::pg_catalog.interval
ORDER BY 5 DESC, 1, 6)sql";

std::string holder_shown(const pg::Result& result, int row) {
  const std::string on = fmt::format("holds a lock on {} for {} s",
                                     result.text(row, 5), result.text(row, 4));
  if (!result.is_null(row, 1)) {
    return fmt::format("prepared transaction '{}' {}", result.text(row, 1), on);
  }
  if (result.boolean(row, 6)) {
    return fmt::format(
        "pid {} (autovacuum to prevent wraparound, which does "
        "not give way) {}",
        result.text(row, 0), on);
  }
  return fmt::format("pid {} (application_name '{}', {}) {}",
                     result.text(row, 0), result.text(row, 2),
                     result.is_null(row, 3) ? "state not visible to this role"
                                            : result.text(row, 3),
                     on);
}

}  // namespace

std::vector<std::string> find_holders(
    pg::Connection& connection, const std::vector<catalog::Oid>& relations,
    milliseconds age) {
  std::vector<std::string> oids;
  oids.reserve(relations.size());
  for (const catalog::Oid oid : relations) oids.push_back(std::to_string(oid));
  const pg::Result result = connection.exec(
      kHolders, {pg::array_literal(oids), fmt::format("{} ms", age.count())});
  std::vector<std::string> holders;
  holders.reserve(static_cast<std::size_t>(result.rows()));
  for (int row = 0; row < result.rows(); ++row) {
    holders.push_back(holder_shown(result, row));
  }
  return holders;
}

}  // namespace pgrecast::exchange
