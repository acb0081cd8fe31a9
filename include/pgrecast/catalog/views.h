#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace pgrecast::catalog {

// What a table becomes: the source, and a table of the new shape.
struct Reshaped {
  Oid source = 0;
  Oid target = 0;
  // Columns that the script renames: old name, new name.
  std::map<std::string, std::string> renamed = {};
  // Statistics of the source that the script drops.
  std::vector<QualifiedName> dropped_statistics = {};
  // Foreign keys of the source that the script drops.
  std::set<std::string> dropped_foreign_keys = {};
};

// A view that reads sources, itself or through other views.
struct DependentView {
  Oid oid = 0;
  QualifiedName name;
  std::string owner;
  bool materialized = false;
  bool direct = false;  // reads a source itself
  // A column that it uses changes its type, or it reads a view of which that
  // is true: CREATE OR REPLACE VIEW cannot follow, so it is dropped and
  // created anew. The others that are direct are replaced, and keep their OID.
  bool anew = false;
  // A materialized view, or a view that one reads, at any depth: nobody can
  // make it read another table, so it is built on the new one beforehand
  // (plan/twins.h) and takes the place of this one. Anew, too.
  bool twin = false;
};

// All of them, each after those that it reads. Where views read each other in a
// circle, which the server lets them, their order is any.
std::vector<DependentView> dependent_views(pg::Connection& connection,
                                           const std::vector<Reshaped>& tables);

// A Refusal for each view that must be created anew while something hangs on it
// that would be lost, or that we may not create again, and for each
// materialized view that cannot be filled beforehand with what its REFRESH will
// show. The closed world of dependents.h, for views.
std::vector<Refusal> uncarried_views(pg::Connection& connection,
                                     const std::vector<Reshaped>& tables);

// {1,2,3}: a parameter of type oid[].
std::string oid_array(const std::vector<Oid>& oids);

}  // namespace pgrecast::catalog
