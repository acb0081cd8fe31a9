#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::exchange {

// Who holds a lock on one of the relations, in a transaction that is older than
// `age`: a line each, with pid, application_name, state and age. Prepared
// transactions too, by their names. Autovacuum gives way and is left out,
// except when it prevents wraparound. Empty: nobody.
std::vector<std::string> find_holders(
    pg::Connection& connection, const std::vector<catalog::Oid>& relations,
    milliseconds age);

}  // namespace pgrecast::exchange
