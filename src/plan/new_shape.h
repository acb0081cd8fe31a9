#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

// What becomes of a table whose whole shape CREATE TABLE names anew.
namespace pgrecast::plan {

// What the script has made of indexes and constraints, or has renamed, before
// the CREATE TABLE that leaves it behind: by name.
std::vector<std::string> made_before_new_shape(pg::Connection& connection,
                                               catalog::Oid source,
                                               catalog::Oid shadow);

// The comments on a table that is about to be made anew, as statements on
// `quoted`, with the column, "" for the table's own.
std::vector<std::pair<std::string, std::string>> comments_by_column(
    pg::Connection& connection, catalog::Oid table, const std::string& quoted);

// Why a value of type `from` cannot be assigned to a column of the shadow; the
// server says it.
std::optional<std::string> assignment_problem(
    pg::Connection& connection, const catalog::QualifiedName& shadow,
    const std::string& column, const std::string& from);

// Gives the shadow the source's replica identity: by an index where it has one
// of that name and fit for it, FULL. Not for a partitioned one.
void keep_replica_identity(pg::Connection& connection, catalog::Oid source,
                           const catalog::QualifiedName& shadow);

// The source is published, and the shadow could not be: the application's own
// updates would fail.
std::optional<Refusal> unfit_to_be_published(pg::Connection& connection,
                                             catalog::Oid source,
                                             catalog::Oid shadow);

// What the new shape leaves out without a word, for people.
std::vector<std::string> lost_by_new_shape(pg::Connection& connection,
                                           catalog::Oid source,
                                           catalog::Oid shadow);

}  // namespace pgrecast::plan
