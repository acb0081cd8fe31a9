#include "pgrecast/capture/publication.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

namespace pgrecast::capture {
namespace {

constexpr int kHasColumnLists = 150000;

std::string published(const catalog::Table& table, int server_version) {
  const catalog::Key& key = table.key.value();
  if (server_version < kHasColumnLists || key.replica_identity_full) {
    return table.whole();
  }
  std::vector<std::string> columns;
  for (const catalog::KeyColumn& column : key.columns) {
    columns.push_back(pg::quote_identifier(column.name));
  }
  return fmt::format("{} ({})", table.whole(), join(columns, ", "));
}

bool same_key(const catalog::Key& a, const catalog::Key& b) {
  if (a.index != b.index || a.columns.size() != b.columns.size()) return false;
  if (a.replica_identity_full != b.replica_identity_full) return false;
  for (std::size_t i = 0; i < a.columns.size(); ++i) {
    if (a.columns[i].name != b.columns[i].name) return false;
    if (a.columns[i].attnum != b.columns[i].attnum) return false;
  }
  return true;
}

}  // namespace

void create_publication(pg::Connection& connection, const std::string& name,
                        const std::vector<catalog::Table>& tables) {
  std::vector<std::string> list;
  list.reserve(tables.size());
  for (const catalog::Table& table : tables) {
    list.push_back(published(table, connection.server_version()));
  }
  // Changes in partitions come as changes of their root, whichever it is: a
  // row that moves to another one is deleted and inserted there.
  connection.exec(fmt::format(
      "CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = "
      "true)",
      pg::quote_identifier(name), join(list, ", ")));
  // The publication's lock keeps REPLICA IDENTITY and the index as they are
  // until the commit.
  for (const catalog::Table& table : tables) {
    const catalog::Table now = catalog::read_table(connection, table.oid);
    if (!now.key || !same_key(*now.key, table.key.value())) {
      throw SourceChanged(fmt::format(
          "the key or replica identity of {} was changed by somebody since the "
          "plan",
          table.name.display()));
    }
  }
}

void drop_publication(pg::Connection& connection, const std::string& name) {
  connection.exec("DROP PUBLICATION IF EXISTS " + pg::quote_identifier(name));
}

}  // namespace pgrecast::capture
