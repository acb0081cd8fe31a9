#include "pgrecast/migration/rivals.h"

#include "pgrecast/migration/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace pgrecast::migration {

std::vector<Refusal> rival_refusals(pg::Connection& connection,
                                    const catalog::Table& table,
                                    const plan::Names& names) {
  std::vector<Refusal> refusals;
  const std::vector<Rival> rivals =
      find_rivals(connection, names.migration, table.oid);
  for (const Rival& rival : rivals) {
    refusals.push_back(
        {fmt::format("another migration, {}, is at {} already (phase {})",
                     rival.migration, rival.table, rival.phase),
         fmt::format("let the `pgrecast run` of that one end, or undo it: "
                     "`pgrecast abort {}`",
                     rival.migration)});
  }
  // Those that no record tells of.
  const pg::Result published = connection.exec(
      "SELECT p.pubname FROM pg_catalog.pg_publication p"
      " JOIN pg_catalog.pg_publication_rel pr ON pr.prpubid = p.oid"
      " WHERE (pr.prrelid = $1::pg_catalog.oid OR pr.prrelid IN ("
      "   SELECT a.relid FROM pg_catalog.pg_partition_ancestors("
      "     $1::pg_catalog.oid) AS a))"
      "  AND p.pubname <> $2"
      "  AND p.pubname LIKE 'pgrecast\\_%'",
      {table.oid, names.publication});
  for (int row = 0; row < published.rows(); ++row) {
    const std::string publication(published.text(row, 0));
    if (std::ranges::find(rivals, publication, &Rival::publication) !=
        rivals.end()) {
      continue;
    }
    refusals.push_back(
        {fmt::format("{} is in publication {} of another migration",
                     table.name.display(), publication),
         "finish or abort that migration first (pgrecast list); DROP "
         "PUBLICATION if there is none"});
  }
  return refusals;
}

}  // namespace pgrecast::migration
