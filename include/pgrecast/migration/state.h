#pragma once

#include "pgrecast/catalog/settings.h"
#include "pgrecast/copy/chunker.h"
#include "pgrecast/migration/phase.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/migrated_table.h"
#include "pgrecast/plan/plan.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// The schema `pgrecast`: where every migration of the database stands, so that
// any session can read it and another host can take over. PostgreSQL's own
// grants on it decide who may look and who may steer.
namespace pgrecast::migration {

// One more whenever a table of the schema changes its meaning. A newer binary
// reads an older version or refuses; it never guesses.
inline constexpr int kStateFormatVersion = 3;

struct MigrationRecord {
  std::string name;
  std::string id;  // uuid: tells two migrations of one name apart
  Phase phase = Phase::kPreparing;
  std::string script;
  std::string script_file;
  catalog::Settings settings;
  std::vector<std::string> schemas;
  std::string slot;
  std::string publication;
  std::uint64_t system_identifier = 0;  // 0: the slot was not made yet
  std::uint32_t timeline = 0;
  // Snapshots older than this see the shadows incomplete.
  std::uint64_t exact_xid = 0;
  bool verified = false;
};

// How a process that runs a migration looks from outside.
struct Heartbeat {
  std::string host;
  int pid = 0;
  double age_seconds = 0;
  std::string status_json;
};

struct Event {
  std::string at;
  std::string by;
  std::string event;
  std::string detail;
};

// All of them on a session with an empty search_path. Throws Refused where
// somebody who may not be trusted owns the schema.
bool state_exists(pg::Connection& connection);

// Throws Refused where a schema of that name has nothing to do with us.
void refuse_foreign_schema(pg::Connection& connection);

// Throws Refused where the schema is of a newer format, or none of ours.
void check_format(pg::Connection& connection);

std::optional<MigrationRecord> read_migration(pg::Connection& connection,
                                              const std::string& name);
// The same for whoever may come first or last: nullopt also where the schema is
// not there, or goes while we look. Throws Refused as check_format().
std::optional<MigrationRecord> find_migration(pg::Connection& connection,
                                              const std::string& name);
std::vector<std::string> list_migrations(pg::Connection& connection);

// Another migration that is at a table, and its exchange is still to come.
struct Rival {
  std::string migration;
  std::string phase;
  std::string publication;
  std::string table;  // its own, by the name of now
};

// Those at `table`, at what it is a part of, or at a part of it, but for the
// migration `name`. For whoever may come first or last, as find_migration().
std::vector<Rival> find_rivals(pg::Connection& connection,
                               const std::string& name, catalog::Oid table);
std::optional<Heartbeat> read_heartbeat(pg::Connection& connection,
                                        const std::string& name);
std::vector<Event> read_events(pg::Connection& connection,
                               const std::string& name, int count);

// In a transaction of the caller's: makes the schema if it is not there, and
// the migration's rows. Returns the owner's epoch, which no migration of this
// name had before.
std::uint64_t insert_migration(pg::Connection& connection,
                               const MigrationRecord& record);
void insert_table(pg::Connection& connection, const std::string& name,
                  const plan::TableTarget& target, catalog::Oid source_oid,
                  catalog::Oid shadow_oid,
                  const catalog::Fingerprint& fingerprint);

// Removes the migration's rows, and the schema with the last of them. In a
// transaction of its own.
void delete_migration(pg::Connection& connection, const std::string& name);

// The twins that were made (plan/twins.h), each behind those that it reads, and
// the schemas of the migration, those of the twins among them.
void insert_twins(pg::Connection& connection, const std::string& name,
                  const std::vector<catalog::Oid>& twins,
                  const std::vector<std::string>& schemas);
// Statements that drop the twins, in this order: only by their OIDs, and only
// while they lie in a schema that we made.
std::vector<std::string> twin_drops(pg::Connection& connection,
                                    const MigrationRecord& record);
void delete_twins(pg::Connection& connection, const std::string& name);

void set_identity(pg::Connection& connection, const std::string& name,
                  std::uint64_t system_identifier, std::uint32_t timeline);
void set_phase(pg::Connection& connection, const std::string& name,
               Phase phase);
void set_exact_xid(pg::Connection& connection, const std::string& name,
                   std::uint64_t xid);
// What is to be done after the exchange, and its crash-proof list.
void set_afterwards(pg::Connection& connection, const std::string& name,
                    const std::vector<std::string>& statements);
std::vector<std::string> read_afterwards(pg::Connection& connection,
                                         const std::string& name);
void set_verified(pg::Connection& connection, const std::string& name,
                  bool verified);

// Events that decide.
inline constexpr const char* kRepairingEvent = "repairing";
inline constexpr const char* kRewrittenEvent = "source rewritten";
inline constexpr const char* kLabelsEvent = "labels of the key changed";
inline constexpr const char* kVerifiedEvent = "verified";
// Whether something may have been missed since the last verification, by a
// repair, in a rewritten source, or under another label of the key: then there
// is no cutover without one.
bool must_verify(pg::Connection& connection, const std::string& name);

struct TableRecord {
  plan::TableTarget target;
  catalog::Oid source_oid = 0;
  catalog::Oid shadow_oid = 0;
  std::int64_t blocks = 0;
  std::vector<catalog::Heap> leaves;  // of a partitioned source
  catalog::Fingerprint fingerprint;
};
std::vector<TableRecord> read_tables(pg::Connection& connection,
                                     const std::string& name);
void set_table_start(pg::Connection& connection, const std::string& name,
                     std::uint32_t ordinal,
                     const catalog::Fingerprint& fingerprint,
                     std::int64_t blocks,
                     const std::vector<catalog::Heap>& leaves = {});

// The chunk's row, in the transaction that copied it.
void insert_chunk(pg::Connection& connection, const std::string& name,
                  std::uint32_t ordinal, const copy::BlockRange& blocks,
                  std::int64_t rows);
struct CopiedChunks {
  std::vector<copy::BlockRange> ranges;
  std::int64_t rows = 0;

  std::int64_t blocks() const;
};
CopiedChunks read_chunks(pg::Connection& connection, const std::string& name,
                         std::uint32_t ordinal);
void delete_chunks(pg::Connection& connection, const std::string& name,
                   std::uint32_t ordinal);

void add_event(pg::Connection& connection, const std::string& name,
               const std::string& event, const std::string& detail);
void beat(pg::Connection& connection, const std::string& name,
          const std::string& host, int pid, const std::string& status_json);

// Commands for the process that runs the migration: one at a time, the last
// one counts. `command` is "" where there is none.
struct Command {
  std::string command;
  std::string by;
};
Command take_command(pg::Connection& connection, const std::string& name);
// In the place of one that nobody has heard yet, unless that is `abort`, whose
// sender would take it for heard.
void send_command(pg::Connection& connection, const std::string& name,
                  const std::string& command);
// Takes a command back that nobody has heard yet, stop requested or not; false:
// it is not there any more.
bool take_back_command(pg::Connection& connection, const std::string& name,
                       const std::string& command);

}  // namespace pgrecast::migration
