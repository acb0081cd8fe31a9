#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::catalog {

// Why no key can be made of the index's columns, though they identify rows; ""
// where nothing is wrong with them.
std::string key_columns_problem(pg::Connection& connection, Oid index);

// A query for the labels of all enum types that the key columns of a table are
// made of, a row each: they are what the stream calls the keys by. Whatever the
// settings are.
std::string key_labels_query(Oid table);

// A query for one text, which is another after any change of those labels, also
// one that was taken back: a rename writes the label's row anew.
std::string key_label_rows_query(Oid table);

}  // namespace pgrecast::catalog
