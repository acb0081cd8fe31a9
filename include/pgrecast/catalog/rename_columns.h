#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast::catalog {

// Steps that give columns of a table new names, all at once: columns may
// exchange theirs. A column that has one of the new names, and is given none,
// gets out of the way under a name of ours.
class ColumnRenaming {
 public:
  bool empty() const { return steps_.empty(); }
  void add(std::string from, std::string to);

  // ALTER TABLE statements; undo() restores what was, of a table that may have
  // another name by then.
  std::vector<std::string> statements(const QualifiedName& table) const;
  std::vector<std::string> undo(const QualifiedName& table) const;

 private:
  std::vector<std::pair<std::string, std::string>> steps_;
};

// `renamed`: old name, new name. Old names that the table has not are ignored.
// Takes no lock.
ColumnRenaming rename_columns(
    pg::Connection& connection, Oid table,
    const std::map<std::string, std::string>& renamed);

}  // namespace pgrecast::catalog
