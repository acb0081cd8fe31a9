#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

// A table that inherits from others, as a source. Its shadow inherits from a
// stand-in for all of them, beside it, which has what the table has of them and
// nothing else: so the server says what it cannot have alone, and what is
// marked as inherited, and as its own besides, is so on the shadow already. In
// the exchange the shadow comes to the parents first, and then leaves the
// stand-in, so that no mark changes.
namespace pgrecast::plan {

// How the stand-ins' names begin. They lie in the shadow's schema, and are
// dropped with it.
inline constexpr const char* kStandIn = "pgrecast_above_";

struct Parent {
  catalog::Oid oid = 0;
  catalog::QualifiedName name;
};

// Of which `table` is a child, in the order in which it came to them; none for
// a partition.
std::vector<Parent> read_parents(pg::Connection& connection,
                                 catalog::Oid table);

// Why `table`, a child, cannot be exchanged; nothing of other tables. For the
// plan, and once more under the exchange's locks. Only its OID is looked at.
std::vector<Refusal> unfit_child(pg::Connection& connection,
                                 const catalog::Table& table);

// What ties the table $1 to its parents, as (fact, value): the links, and the
// marks of what is inherited. Every fact begins with "inherit". Nothing for
// another table. Written independently of what makes them.
const char* child_facts_query();

// Creates `shadow`, in a schema that exists, with the columns of `source`, a
// child, and its constraints, but for indexes; and its stand-in beside it.
// `storage`: the clauses behind CREATE TABLE (..).
void make_child(pg::Connection& connection, const catalog::Table& source,
                const catalog::QualifiedName& shadow,
                const std::string& storage);

// Makes a table like that of OID `table`, called `name`, in `schema`, which
// exists: its columns and what of its constraints is inherited.
catalog::QualifiedName copy_columns(pg::Connection& connection,
                                    catalog::Oid table,
                                    const catalog::QualifiedName& name,
                                    const std::string& schema);

// Lets `shadow`, a child's, inherit from copies of the parents, made in
// `schema`, as the exchange will from the parents themselves. A Refusal where
// the server does not let it, or where the result is not what `source` is. In a
// transaction, of which all is to be rolled back.
std::vector<Refusal> try_inherit(pg::Connection& connection,
                                 const catalog::Table& source,
                                 const catalog::QualifiedName& shadow,
                                 const std::string& schema);

}  // namespace pgrecast::plan
