#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>

// The shadow holds what policies and security labels of its source hide, and
// gets these only in the exchange: until then nobody but its owner may read it.
namespace pgrecast::plan {

// Takes back what default privileges granted on a schema of ours.
void close_schema(pg::Connection& connection, const std::string& schema);

// Row security without any policy, which shows nothing to anybody but the
// owner, where the source has row security or labels: there are roles that may
// read every table (pg_read_all_data).
void hide_rows(pg::Connection& connection, catalog::Oid source,
               const catalog::QualifiedName& shadow);

}  // namespace pgrecast::plan
