#pragma once

#include "pgrecast/catalog/grants.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/target.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast::plan {

// What the GRANTs and REVOKEs of a script make of one table's grants: the
// server says it. The clone gets the source's grants before the first of them
// runs on it; the difference at the end is what the script wants, whatever
// columns were renamed meanwhile, and it is applied to the grants that the
// source has at the exchange.
class ScriptGrants {
 public:
  bool begun() const { return clone_oid_ != 0; }
  catalog::Oid clone_oid() const { return clone_oid_; }

  // Gives the clone the source's grants. `names`: what the source's columns are
  // called on the clone now; those that are gone are left out.
  void begin(pg::Connection& connection, const catalog::Table& source,
             const catalog::QualifiedName& clone, catalog::Oid clone_oid,
             const std::map<std::string, std::string>& names);

  // What has changed since begin(); and gives the clone the grants back that it
  // had before.
  std::vector<ScriptGrant> finish(pg::Connection& connection);

 private:
  void let_grantors_in(pg::Connection& connection,
                       const std::vector<catalog::Grant>& grants);

  catalog::QualifiedName clone_;
  catalog::Oid clone_oid_ = 0;
  std::string current_role_;
  std::vector<catalog::Grant> of_clone_;
  // With the number of the column, which follows its names.
  std::vector<std::pair<int, catalog::Grant>> at_first_;
  std::vector<std::string> let_in_;
};

// For people: "SELECT (a) granted to r".
std::string in_words(const ScriptGrant& change);

}  // namespace pgrecast::plan
