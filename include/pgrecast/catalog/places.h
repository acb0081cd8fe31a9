#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/views.h"
#include "pgrecast/pg/connection.h"

#include <vector>

namespace pgrecast::catalog {

// A definition is carried by the names of columns, but for one place in SQL:
// FROM t AS x (a, b) gives names to columns by their order, and so does the
// server when it prints a JOIN .. USING of columns that have other names by
// now. On a table whose columns come in another order (one goes, say) such a
// definition would read other columns, without a word.
//
// A Refusal for each view, rule, policy and function that does so, where the
// new shape has not all columns of the old one, in its order, at the beginning.
// On a session with an empty search_path.
std::vector<Refusal> readers_by_place(pg::Connection& connection,
                                      const Reshaped& table);

}  // namespace pgrecast::catalog
