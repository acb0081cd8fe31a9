#pragma once

#include "pgrecast/script/statement.h"

#include "statement_reader.h"
#include "tree.h"

#include <optional>
#include <string>

namespace pgrecast::script {

// What an expression may be qualified with: the alias, or the table's name
// where there is no alias.
struct ExpressionScope {
  const TableName& table;
  const std::optional<std::string>& alias;
};

// The tokens [begin, end) are the expression `tree`: proves the slice, collects
// its facts, and refuses the statement for what no expression of a migration
// may hold (sub-selects, parameters, whole rows, system columns, other tables'
// columns, window functions).
Expression take_expression(const StatementReader& reader,
                           const ExpressionScope& scope, std::size_t begin,
                           std::size_t end, const Tree& tree);

}  // namespace pgrecast::script
