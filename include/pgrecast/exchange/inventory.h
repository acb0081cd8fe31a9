#pragma once

#include "pgrecast/catalog/shape.h"
#include "pgrecast/catalog/table.h"

#include <string>

namespace pgrecast::exchange {

// Everything that the catalogs say about a table and that somebody would miss:
// "column note" -> "text NOT NULL ...", "grant SELECT to reader" -> "". The
// names and values do not contain the table's own name or OID, so inventories
// of two tables can be compared. Written independently of the code that carries
// things over: it is what proves that code.
using Inventory = catalog::Facts;

Inventory read_inventory(pg::Connection& connection, catalog::Oid table);

// Parts of an inventory that an exchange hands over: grants, owner, owned
// sequences, triggers, foreign keys, views, ... The others (columns,
// constraints, indexes, comments, options) are on the shadow beforehand, and a
// script may change them.
bool handed_over(const std::string& fact);

using catalog::differences;

}  // namespace pgrecast::exchange
