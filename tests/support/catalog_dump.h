#pragma once

#include "support/session.h"

#include <string>
#include <vector>

namespace pgrecast::test {

// What the catalogs say of everything in the schemas of users (not of
// pgrecast), a line a fact, sorted: every column of a catalog's row that is not
// named here as one that may differ, so that what a newer server adds is
// compared, too. For servers that no pg_dump here can read, and beside it: it
// says more. Sets the session's search_path.
std::vector<std::string> catalog_dump(Session& superuser);

}  // namespace pgrecast::test
