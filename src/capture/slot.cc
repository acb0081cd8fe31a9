#include "pgrecast/capture/slot.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/log.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

namespace pgrecast::capture {
namespace {

// How often a slot's release is looked for: the server has no event for it.
constexpr auto kLookAgain = milliseconds(50);

}  // namespace

SystemIdentity identify_system(pg::Connection& replication) {
  const pg::Result result = replication.exec("IDENTIFY_SYSTEM");
  return {.system_identifier = result.number<std::uint64_t>(0, 0),
          .timeline = result.number<std::uint32_t>(0, 1)};
}

std::optional<SlotState> read_slot(pg::Connection& connection,
                                   const std::string& name) {
  const pg::Result result = connection.exec(
      "SELECT active, COALESCE(active_pid, 0), COALESCE(wal_status, 'lost'),"
      " COALESCE(confirmed_flush_lsn, '0/0'), COALESCE(restart_lsn, '0/0'),"
      " COALESCE(pg_catalog.pg_wal_lsn_diff("
      "   pg_catalog.pg_current_wal_lsn(), restart_lsn), 0)::pg_catalog.int8"
      " FROM pg_catalog.pg_replication_slots WHERE slot_name = $1",
      {name});
  if (result.empty()) return std::nullopt;
  SlotState state;
  state.active = result.boolean(0, 0);
  state.active_pid = result.number<int>(0, 1);
  state.wal_status = result.text(0, 2);
  state.confirmed_flush_lsn = Lsn::parse(result.text(0, 3)).value_or(Lsn{});
  state.restart_lsn = Lsn::parse(result.text(0, 4)).value_or(Lsn{});
  state.retained_bytes = result.number<std::int64_t>(0, 5);
  return state;
}

Lsn create_slot(pg::Connection& replication, const std::string& name,
                Deadline deadline) {
  const pg::Result result = replication.exec(
      fmt::format("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput "
                  "NOEXPORT_SNAPSHOT",
                  pg::quote_identifier(name)),
      {}, deadline);
  const auto point = Lsn::parse(result.text(0, 1));
  if (!point) throw ProtocolError("the new slot has no consistent point");
  return *point;
}

void free_slot(pg::Connection& connection, const std::string& name,
               Deadline deadline) {
  for (;;) {
    const auto state = read_slot(connection, name);
    if (!state || !state->active) return;
    log::info("capture", "ending the session that holds our slot",
              "slot={} pid={}", name, state->active_pid);
    connection.exec("SELECT pg_catalog.pg_terminate_backend($1)",
                    {state->active_pid});
    if (deadline.passed()) {
      throw TimedOut(fmt::format("slot {} stays in use by process {}", name,
                                 state->active_pid));
    }
    connection.wait_readable(Deadline::in(kLookAgain));
  }
}

void drop_slot(pg::Connection& connection, const std::string& name,
               Deadline deadline) {
  for (;;) {
    free_slot(connection, name, deadline);
    try {
      connection.exec(
          "SELECT pg_catalog.pg_drop_replication_slot(slot_name)"
          " FROM pg_catalog.pg_replication_slots WHERE slot_name = $1",
          {name});
      return;
    } catch (const pg::SqlError& error) {
      if (error.sqlstate() == pg::sqlstate::kUndefinedObject) return;
      if (error.sqlstate() != pg::sqlstate::kObjectInUse) throw;
      if (deadline.passed()) throw;
    }
  }
}

}  // namespace pgrecast::capture
