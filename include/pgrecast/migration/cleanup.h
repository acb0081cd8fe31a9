#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/base/error.h"
#include "pgrecast/migration/leftovers.h"
#include "pgrecast/migration/state.h"
#include "pgrecast/pg/connection.h"

#include <filesystem>
#include <string>
#include <vector>

// Undoing and clearing away, in steps that never queue behind anybody for long:
// short lock timeouts, retried. Every step may find its work done already, so
// all of it can be repeated after a crash, from any host.
namespace pgrecast::migration {

// Something of somebody else's is in a schema of ours, or depends on a table of
// ours, and is never dropped. All else is removed; the same step does the rest
// once that is out of the way.
class SchemaKept : public Error {
 public:
  explicit SchemaKept(const std::string& kept)
      : Error("somebody's objects keep what is to be dropped: " + kept,
              Remedy::kFail) {}
};

// The folder of a migration's change buffer.
std::filesystem::path buffer_path(const std::filesystem::path& state_dir,
                                  const MigrationRecord& record);

// Before the exchange: back to what was before `run`. The caller owns the
// migration and nothing of it runs any more. Throws SchemaKept.
void undo_migration(pg::Connection& connection, const MigrationRecord& record,
                    const std::filesystem::path& state_dir);

// The same where what comes next under a name of ours was made by somebody else
// (NameTaken), and so nothing behind it by us: that stays.
void undo_unmade(pg::Connection& connection, const MigrationRecord& record,
                 Leftover not_ours);

// After the exchange, on a session that holds the migration's lock: waits for
// the synchronous standbys to have it, removes the stream, does what was put
// off, and enters the phase `done`. To be repeated after a crash.
void complete_exchange(pg::Connection& connection,
                       const MigrationRecord& record,
                       const std::filesystem::path& state_dir);

// The stream and all that belongs to it.
void remove_capture(pg::Connection& connection, const MigrationRecord& record,
                    const std::filesystem::path& state_dir);

// After that: the retired tables and our last traces. Throws SchemaKept.
void remove_retired(pg::Connection& connection, const MigrationRecord& record);

// After the exchange: validates foreign keys, one by one, and what else was put
// off. Each statement may be repeated, and none keeps those behind it from
// being done. Throws DataRejected, or what the first one that failed otherwise
// threw.
void do_afterwards(pg::Connection& connection,
                   const std::vector<std::string>& statements);

// Makes this process the owner: ends the sessions that a process before us may
// have left behind, and raises the epoch, which waits for what they still have
// in flight. Returns the epoch.
std::uint64_t take_ownership(pg::Connection& connection,
                             const MigrationRecord& record);

// The statement for catalog::SourceGuard.
std::string ownership_query(const std::string& migration, std::uint64_t epoch);

// One process a migration: false while another one is at it. Held by the
// session until it ends.
bool lock_migration(pg::Connection& connection, const MigrationRecord& record);

// Whether a process is at it. Never in the way of one that comes just now.
bool is_locked(pg::Connection& connection, const MigrationRecord& record);

}  // namespace pgrecast::migration
