#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

// A table from which others inherit, as a source: the new one gets its
// children, of which the script may change nothing. (What children that are
// partitions are, partitions.h knows.)
namespace pgrecast::plan {

struct Child {
  catalog::Oid oid = 0;
  catalog::QualifiedName name;
};

// In the order of their OIDs.
std::vector<Child> read_children(pg::Connection& connection,
                                 catalog::Oid table);

// Why `table`, a parent, cannot be exchanged; nothing of other tables. For the
// plan, and once more under the exchange's locks. Only its OID is looked at.
std::vector<Refusal> unfit_parent(pg::Connection& connection,
                                  const catalog::Table& table);

// What the table $1 is to its children, as (fact, value): the links, and what
// each child is marked to have of its parents. Every fact begins with
// "inherit". Written independently of what makes them.
const char* parent_facts_query();

// Lets copies of the children, made in `schema`, inherit from `shadow`, as the
// exchange will let the children themselves. A Refusal where the server does
// not. In a transaction, of which all is to be rolled back.
std::vector<Refusal> try_children(pg::Connection& connection,
                                  const catalog::Table& source,
                                  const catalog::QualifiedName& shadow,
                                  const std::string& schema);

}  // namespace pgrecast::plan
