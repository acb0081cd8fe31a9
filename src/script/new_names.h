#pragma once

#include "tree.h"

#include <vector>

namespace pgrecast::script {

// What a statement's tree ({"UpdateStmt": {..}}) is with other names, each a
// RangeVar as parse_table_name() gives it: replacing the names in the text must
// give exactly that.

// With another table.
Tree with_table(Tree statement, const Tree& table);

// With another index or statistics, by itself named.
Tree with_object(Tree statement, const Tree& object);

// An ALTER TABLE with other tables behind REFERENCES, in their order.
Tree with_references(Tree statement, const std::vector<Tree>& tables);

// An ALTER TABLE without the foreign keys that it adds.
Tree without_foreign_keys(Tree statement);

// A partition and its parent.
Tree with_partition(Tree statement, const Tree& partition, const Tree& parent);

}  // namespace pgrecast::script
