#pragma once

#include "pgrecast/migration/state.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

// What an operator asks of a migration from outside, from any host that reaches
// the database. Each opens a session of its own.
namespace pgrecast::migration {

// Before the exchange: back to what was before `run`. A process that runs the
// migration is told to do it; without one it is done here. Throws Refused when
// there is no such migration, or it is past its exchange;
// TimedOut where that process does not do it within `patience`: then, or when
// stop is requested, the command is taken back, so that it cannot strike later.
void abort_migration(const std::string& conninfo, const std::string& name,
                     const std::filesystem::path& state_dir,
                     std::chrono::seconds patience,
                     const std::stop_token& stop);

// After the exchange: removes the retired tables and every trace of us.
void finish_migration(const std::string& conninfo, const std::string& name,
                      const std::filesystem::path& state_dir,
                      const std::stop_token& stop);

// Tells the process that runs the migration, and returns the phase that it is
// in. Throws Refused when none does, or after the exchange.
Phase tell_migration(const std::string& conninfo, const std::string& name,
                     const std::string& command, const std::stop_token& stop);

// Drops slot and publication of every migration whose process is dead and whose
// slot keeps more WAL than `retained_max` bytes. Returns their names.
std::vector<std::string> reap_migrations(const std::string& conninfo,
                                         std::int64_t retained_max,
                                         const std::stop_token& stop);

struct MigrationStatus {
  MigrationRecord record;
  std::vector<std::string> tables;
  bool running = false;  // a process is at it
  std::optional<Heartbeat> heartbeat;
  std::vector<Event> events;
};
// All migrations of the database, or the one of that name.
std::vector<MigrationStatus> read_status(const std::string& conninfo,
                                         const std::optional<std::string>& name,
                                         const std::stop_token& stop);

}  // namespace pgrecast::migration
