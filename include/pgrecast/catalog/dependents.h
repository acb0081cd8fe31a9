#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"

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
// Event triggers that will fire on our DDL are logged as warnings.
//
// `own_publication` is the migration's own, which stays with the old table.
// Runs in the session's transaction, if any; takes no lock on the table. Right
// at the moment when it is read: the exchange asks again under its lock.
std::vector<Refusal> uncarried_dependents(
    pg::Connection& connection, const Table& table,
    const std::string& own_publication = {});

// What uncarried_dependents() has let pass since it is carried by name, while
// the new shape has no such column, or one of another type where that matters:
// a view's columns cannot change their types, a foreign key or a trigger needs
// its columns. For the plan, once a table of the target's shape exists.
std::vector<Refusal> dependents_on_changed_columns(pg::Connection& connection,
                                                   Oid source, Oid target);

}  // namespace pgrecast::catalog
