#pragma once

#include "pgrecast/exchange/exchange.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::exchange {

// No lock on a table keeps others from altering functions and extended
// statistics, nor from granting on single columns. These statements write the
// same once more into the rows of the catalogs that such a command writes:
// whoever comes later waits for our end, and is then told by the server that he
// was too late, instead of altering what nobody uses any more. To be run under
// the tables' locks, before unlocked_state_query() is compared and the grants
// are read.
std::vector<std::string> hold_dependents(
    pg::Connection& connection, const std::vector<ExchangeTable>& tables);

}  // namespace pgrecast::exchange
