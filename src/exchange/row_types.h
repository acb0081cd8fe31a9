#pragma once

#include "pgrecast/exchange/exchange.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::exchange {

// Statements that give the new table's row type, and its array, what those of
// the old one have: grants and comments. They run when the new table has the
// name. Read as late as can be: nothing keeps others from either.
std::vector<std::string> row_type_statements(pg::Connection& connection,
                                             const ExchangeTable& table,
                                             const std::string& current_role);

}  // namespace pgrecast::exchange
