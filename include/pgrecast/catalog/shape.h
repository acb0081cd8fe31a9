#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <map>
#include <string>
#include <vector>

// What a table is by itself, in a form in which two tables can be compared:
// for the proofs that a new table is what it was meant to be. Written
// independently of the code that makes tables.
namespace pgrecast::catalog {

// "column note" -> "text NOT NULL ...". Neither names nor values contain the
// table's own name or OID.
using Facts = std::map<std::string, std::string>;

// Columns, their order, constraints, indexes, comments, options, identities,
// owner; nothing that hangs off the table. Definitions are printed as the
// session's search_path has it: two tables in different schemas, with sequences
// of their own in them, compare when each is read with its own schema there.
Facts read_shape(pg::Connection& connection, Oid table);

// The query behind it, of one parameter, the table's OID; answers (fact,
// value). For queries that ask for more, by UNION ALL.
const char* shape_query();

Facts facts_of(const pg::Result& result);

// A line each, for people: what `actual` lacks of `expected`, has in another
// form, or has beyond it.
std::vector<std::string> differences(const Facts& expected,
                                     const Facts& actual);

}  // namespace pgrecast::catalog
