#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/catalog/views.h"

#include <string>
#include <vector>

namespace pgrecast::catalog {

// One Refusal for everything that belongs to the table, or depends on it, and
// that an exchange would lose, named as pg_describe_object names it. Empty: the
// exchange layer carries all there is.
//
// A closed world: what is known to be carried or harmless is listed in
// dependents.cc, everything else is refused, also a catalog or a kind of
// dependency that does not exist yet today. src/exchange/carried.h is the other
// half of that list: a kind enters both at once.
//
// `own_publication` is the migration's own, which stays with the old table.
// Runs in the session's transaction, if any; takes no lock on the table. Right
// at the moment when it is read: the exchange asks again under its lock.
std::vector<Refusal> uncarried_dependents(
    pg::Connection& connection, const Table& table,
    const std::string& own_publication = {});

// Of these tables or views: the grants that another role than the owner gave,
// and that we cannot give again in its name.
std::vector<Refusal> uncarried_grants(pg::Connection& connection,
                                      const std::vector<Oid>& relations);

// What uncarried_dependents() has let pass since it is carried by name, while
// the new shape lacks a column that it needs. For the plan, once a table of the
// target's shape exists; what does not work with a column's new type is found
// out by plan/try_readers.h.
std::vector<Refusal> dependents_on_dropped_columns(pg::Connection& connection,
                                                   const Reshaped& table);

}  // namespace pgrecast::catalog
