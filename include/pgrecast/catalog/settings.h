#pragma once

#include "pgrecast/pg/connection.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace pgrecast::catalog {

// Settings that decide what an expression of the script yields, or what its DDL
// makes, by name: those that the script would have had by hand (server,
// database, role).
using Settings = std::map<std::string, std::string>;

// What the session would have, had nobody set anything in it. Outside of a
// transaction; leaves the session's own settings as they are.
Settings read_script_settings(pg::Connection& connection);

// Makes them the session's. Statements of ours are qualified and need none.
void apply_settings(pg::Connection& connection, const Settings& settings);

// What a setting is to a migration.
enum class SettingUse {
  kDecidesValues,  // what an expression means or yields
  kShapesTables,   // what DDL makes of what it leaves open: default_tablespace
  kResources,      // how much the server may use: maintenance_work_mem
  kWithoutEffect,  // on sessions of ours: timeouts, messages
};

struct KnownSetting {
  std::string name;  // as the server spells it
  SettingUse use = SettingUse::kDecidesValues;
};

// nullopt for one that a script must not set, since nobody has thought about
// what it would do. Whatever an application defined itself (app.tenant) counts
// as deciding values.
std::optional<KnownSetting> known_setting(std::string_view name);

// Of `settings`, what the server may use, until the transaction ends: for
// statements of ours that were printed under our own settings (index builds).
void apply_resources(pg::Connection& connection, const Settings& settings);

}  // namespace pgrecast::catalog
