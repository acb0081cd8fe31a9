#pragma once

#include "pgrecast/pg/connection.h"

#include <map>
#include <string>

namespace pgrecast::catalog {

// Settings that decide what an expression of the script yields, by name: those
// that the script would have had by hand (server, database, role).
using Settings = std::map<std::string, std::string>;

// What the session would have, had nobody set anything in it. Outside of a
// transaction; leaves the session's own settings as they are.
Settings read_script_settings(pg::Connection& connection);

// Makes them the session's. Statements of ours are qualified and need none.
void apply_settings(pg::Connection& connection, const Settings& settings);

}  // namespace pgrecast::catalog
