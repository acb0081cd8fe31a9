#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/plan.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

// What must hold of server, role, table and disk before a migration may begin.
// Each check answers what it found and throws nothing of its own, so that an
// operator reads every reason at once. Nothing is changed.
// docs/reference/plan.md lists every refusal.
namespace pgrecast::plan {

// A pooler that hands each transaction to another backend would lose session
// settings, locks and snapshots of ours. Ask this first: behind one, nothing
// else that the session says can be relied on.
std::optional<Refusal> pooler_refusal(pg::Connection& connection);

// Ask this before anything that reads a catalog: an older server has not all
// the columns that are asked for.
std::optional<Refusal> old_server_refusal(pg::Connection& connection);

// Every command asks this: what a migration keeps on the server is written.
std::optional<Refusal> standby_refusal(pg::Connection& connection);

// Of the server's settings and the role's rights in this database.
std::vector<Refusal> server_refusals(pg::Connection& connection);

// Whether the role may replicate is found out by connecting: managed services
// grant it in ways of their own, which no catalog shows.
std::optional<Refusal> replication_refusal(const pg::Endpoint& endpoint,
                                           const std::stop_token& stop);

// Of the folder for the change buffer, which need not exist yet: whether it can
// be made, and has `bytes_min` free.
std::optional<Refusal> state_dir_refusal(const std::filesystem::path& state_dir,
                                         std::uint64_t bytes_min);

// What the change buffer needs at least: its memory twice over, with slack.
inline constexpr std::uint64_t kStateDirBytesMin = 256U << 20U;

// Whether its policies hide rows from us, so that nothing can be tried on it.
bool hides_rows(pg::Connection& connection, const catalog::Table& table);

// Of one table that the script names: its kind, key, rights, and what hangs off
// it. `names` are this migration's own.
std::vector<Refusal> table_refusals(pg::Connection& connection,
                                    const catalog::Table& table,
                                    const Names& names);

// Bugs in the decoding of this minor version (150001) that others have met.
std::vector<std::string> version_warnings(int server_version);

// Of the event triggers that will fire on our DDL.
std::vector<std::string> event_trigger_warnings(pg::Connection& connection);

// What is allowed, and may surprise: of the server and the database, the two
// above among it.
std::vector<std::string> server_warnings(pg::Connection& connection);

// Of the columns of this database that may hold a table's OID as data
// (regclass, regtype, and what is made of them): no catalog tells whether one
// does. Those of `sources` by name.
std::vector<std::string> oid_warnings(
    pg::Connection& connection, const std::vector<catalog::Table>& sources);

}  // namespace pgrecast::plan
