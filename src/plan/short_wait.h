#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <functional>
#include <string>

namespace pgrecast::plan {

// Calls `work`, which may wait for locks on a table. Where somebody keeps one
// for seconds, throws Refused, which names them. In the caller's transaction,
// of which no snapshot is taken; the time limit (lock_timeout) stays set in it.
void wait_for_seconds(pg::Connection& connection, catalog::Oid oid,
                      const std::string& shown,
                      const std::function<void()>& work);

}  // namespace pgrecast::plan
