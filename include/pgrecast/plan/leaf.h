#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/shape.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <vector>

// A leaf partition as a source, while the table that it is a part of goes on:
// its shadow is a table of its own until the exchange, which detaches the one
// and attaches the other.
namespace pgrecast::plan {

// The shadow's CHECK of the leaf's bound: what the copy must not leave, and why
// the server need not read the new table to attach it. Gone after that.
inline constexpr const char* kBoundCheck = "pgrecast_bound";

// Why `table`, a leaf, cannot be exchanged by itself; nothing of other tables.
// For the plan, and once more under the exchange's locks. Only OID and name of
// the table are looked at.
std::vector<Refusal> unfit_leaf(pg::Connection& connection,
                                const catalog::Table& table);

// What ties the leaf $1 to the table that it is a part of, as (fact, value);
// nothing for another table. Every fact begins with "partition ", none names a
// schema. Written independently of what attaches it.
const char* leaf_facts_query();

// Adds that CHECK to `shadow`, as the server prints the bound of `leaf`.
void add_bound(pg::Connection& connection, catalog::Oid leaf,
               const catalog::QualifiedName& shadow);

// Makes `whole`, in a schema that exists, like the table that `leaf` is a part
// of, and attaches `table` to it where `leaf` is attached; beside it the tables
// of which that one is a part.
void attach_to_copy(pg::Connection& connection, const catalog::Table& leaf,
                    const catalog::QualifiedName& table,
                    const catalog::QualifiedName& whole);

// Attaches `shadow`, which has its indexes and late constraints, to such a
// copy, as the exchange will to the table itself. A Refusal where the server
// would have to read rows or build an index for that, or where the result is
// not what `leaf` is. In a transaction, of which all is to be rolled back.
std::vector<Refusal> try_attach(pg::Connection& connection,
                                const catalog::Table& leaf,
                                const catalog::QualifiedName& shadow,
                                const catalog::QualifiedName& whole);

}  // namespace pgrecast::plan
