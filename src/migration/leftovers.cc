#include "pgrecast/migration/leftovers.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <cstddef>
#include <string>

namespace pgrecast::migration {
namespace {

bool schema_exists(pg::Connection& connection, const std::string& name) {
  return !connection
              .exec(
                  "SELECT FROM pg_catalog.pg_namespace"
                  " WHERE nspname = $1",
                  {name})
              .empty();
}

void add_slot(pg::Connection& connection, const std::string& name,
              std::vector<Refusal>& refusals) {
  const pg::Result slot = connection.exec(
      "SELECT COALESCE(active_pid, 0) FROM pg_catalog.pg_replication_slots"
      " WHERE slot_name = $1",
      {name});
  if (slot.empty()) return;
  const int user = slot.number<int>(0, 0);
  const std::string drop =
      fmt::format("SELECT pg_drop_replication_slot('{}')", name);
  refusals.push_back(
      {fmt::format("there is a replication slot {} already, of a migration "
                   "that nothing is known of",
                   name),
       user == 0
           ? drop
           : fmt::format("end process {}, which uses it, and {}", user, drop)});
}

void add_publication(pg::Connection& connection, const std::string& name,
                     std::vector<Refusal>& refusals) {
  const pg::Result found = connection.exec(
      "SELECT FROM pg_catalog.pg_publication WHERE pubname = $1", {name});
  if (found.empty()) return;
  refusals.push_back(
      {fmt::format("there is a publication {} already, of a migration that "
                   "nothing is known of",
                   name),
       "DROP PUBLICATION " + pg::quote_identifier(name)});
}

void add_schemas(pg::Connection& connection, const plan::Names& names,
                 std::vector<Refusal>& refusals) {
  for (std::size_t ordinal = 0;; ++ordinal) {
    bool any = false;
    for (const std::string& name :
         {names.shadow_schema(ordinal), names.retired_schema(ordinal),
          names.twin_schema(ordinal)}) {
      if (!schema_exists(connection, name)) continue;
      any = true;
      refusals.push_back(
          {fmt::format("there is a schema {} already, of a migration that "
                       "nothing is known of",
                       name),
           fmt::format("look what it holds, then DROP SCHEMA {} CASCADE; or "
                       "give the migration another name (--name)",
                       pg::quote_identifier(name))});
    }
    if (!any) return;
  }
}

}  // namespace

std::vector<Refusal> leftover_refusals(pg::Connection& connection,
                                       const plan::Names& names,
                                       std::optional<Leftover> only) {
  const auto wanted = [&](Leftover kind) { return !only || *only == kind; };
  std::vector<Refusal> refusals;
  if (wanted(Leftover::kSlot)) add_slot(connection, names.slot, refusals);
  if (wanted(Leftover::kPublication)) {
    add_publication(connection, names.publication, refusals);
  }
  if (wanted(Leftover::kSchema)) add_schemas(connection, names, refusals);
  return refusals;
}

}  // namespace pgrecast::migration
