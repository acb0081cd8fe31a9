#include "context.h"

#include "pgrecast/base/log.h"
#include "pgrecast/catalog/fingerprint.h"
#include "pgrecast/catalog/settings.h"
#include "pgrecast/migration/cleanup.h"

#include <utility>

namespace pgrecast::migration {

pg::Connection Context::open(std::string_view role,
                             const std::stop_token& token) const {
  return pg::Connection::open(endpoint, role, token);
}

pg::Connection Context::open_data(std::string_view role,
                                  const std::stop_token& token) const {
  pg::Connection connection = open(role, token);
  catalog::apply_settings(connection, record.settings);
  return connection;
}

pg::Connection& Context::refresh_session() {
  if (!refresh) {
    refresh = open_data("refresh", stop);
    refresh::prefer_key_lookups(*refresh);
  }
  return *refresh;
}

void Context::pass_fence(Deadline deadline,
                         const std::function<bool()>& wanted) {
  if (!fence) fence = open("fence", stop);
  fences->pass(*fence, deadline, stop, wanted);
}

void Context::make_guard() {
  guard.emplace(ownership_query(record.name, epoch));
  for (const plan::MigratedTable& table : tables) {
    guard->add_source(
        table.target.source.quoted(),
        catalog::fingerprint_check(table.fingerprint, table.source.oid,
                                   record.publication),
        table.source.partitioned());
  }
}

refresh::Rounds Context::make_rounds() {
  refresh::Rounds::Parts parts;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    parts.tables.push_back({.table = &tables[i],
                            .codec = &codecs[i],
                            .statements = refresh::Statements(tables[i])});
  }
  parts.buffer = &*buffer;
  parts.gate = &gate;
  parts.guard = &*guard;
  parts.fence = [this](Deadline deadline, const std::function<bool()>& wanted) {
    pass_fence(deadline, wanted);
  };
  parts.stop = stop;
  return refresh::Rounds(std::move(parts));
}

void Context::note_incomplete() {
  if (record.exact_xid == 0) return;
  write(
      [&](pg::Connection& session) { set_exact_xid(session, record.name, 0); });
  record.exact_xid = 0;
}

void Context::note_complete() {
  if (record.exact_xid != 0) return;
  const auto exact =
      control
          ->exec(
              "SELECT pg_catalog.pg_snapshot_xmax("
              "pg_catalog.pg_current_snapshot())::pg_catalog.text")
          .number<std::uint64_t>(0, 0);
  write([&](pg::Connection& session) {
    set_exact_xid(session, record.name, exact);
  });
  record.exact_xid = exact;
}

void Context::show_waiting(const std::string& what) const {
  progress->update([&](ProgressData& data) { data.waiting_for = what; });
}

void Context::write(const std::function<void(pg::Connection&)>& change) {
  const catalog::SourceGuard owner(ownership_query(record.name, epoch));
  pg::Transaction transaction(*control);
  owner.prove_ownership(*control);
  change(*control);
  transaction.commit();
}

void Context::event(const std::string& what, const std::string& detail) {
  write([&](pg::Connection& connection) {
    add_event(connection, record.name, what, detail);
  });
}

void Context::enter(Phase phase) {
  write([&](pg::Connection& connection) {
    set_phase(connection, record.name, phase);
    add_event(connection, record.name, "phase", std::string(name_of(phase)));
  });
  record.phase = phase;
  progress->update([&](ProgressData& data) {
    const auto now = Clock::now();
    data.phase_took[data.phase] +=
        std::chrono::duration_cast<milliseconds>(now - data.phase_began);
    data.phase = phase;
    data.phase_began = now;
  });
  log::info("migration", "phase changed", "phase={}", name_of(phase));
}

catalog::Oid database_oid(pg::Connection& connection) {
  return connection
      .exec(
          "SELECT oid FROM pg_catalog.pg_database"
          " WHERE datname = pg_catalog.current_database()")
      .number<catalog::Oid>(0, 0);
}

}  // namespace pgrecast::migration
