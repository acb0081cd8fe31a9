#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::capture {

// Publishes the sources: of each only the key's columns where the server can
// (15 and newer, not under REPLICA IDENTITY FULL), so that decoding costs
// little. Keeps the tables' keys from being changed while it looks at them
// again: a table without a usable replica identity must never be published, or
// the application's own UPDATEs fail. In a transaction of the caller's.
//
// Throws SourceChanged if a key is no longer what `tables` say.
void create_publication(pg::Connection& connection, const std::string& name,
                        const std::vector<catalog::Table>& tables);

void drop_publication(pg::Connection& connection, const std::string& name);

}  // namespace pgrecast::capture
