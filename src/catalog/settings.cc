#include "pgrecast/catalog/settings.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <array>
#include <vector>

namespace pgrecast::catalog {
namespace {

constexpr std::array kDeciding = {"TimeZone",
                                  "timezone_abbreviations",
                                  "DateStyle",
                                  "IntervalStyle",
                                  "search_path",
                                  "extra_float_digits",
                                  "bytea_output",
                                  "xmlbinary",
                                  "xmloption",
                                  "lc_monetary",
                                  "lc_numeric",
                                  "lc_time",
                                  "array_nulls",
                                  "backslash_quote",
                                  "standard_conforming_strings",
                                  "transform_null_equals",
                                  "quote_all_identifiers",
                                  "default_text_search_config"};

constexpr std::array kShaping = {"default_tablespace",
                                 "default_table_access_method",
                                 "default_toast_compression"};

constexpr std::array kResourceful = {"maintenance_work_mem",
                                     "work_mem",
                                     "hash_mem_multiplier",
                                     "max_parallel_maintenance_workers",
                                     "max_parallel_workers_per_gather",
                                     "effective_io_concurrency",
                                     "maintenance_io_concurrency",
                                     "default_statistics_target"};

// Our sessions have their own, or nobody reads what these are about.
constexpr std::array kIdle = {"lock_timeout",
                              "statement_timeout",
                              "idle_in_transaction_session_timeout",
                              "idle_session_timeout",
                              "transaction_timeout",
                              "deadlock_timeout",
                              "synchronous_commit",
                              "client_min_messages",
                              "log_min_messages",
                              "log_statement",
                              "log_min_duration_statement",
                              "application_name",
                              "client_encoding",
                              "row_security",
                              "check_function_bodies",
                              "escape_string_warning",
                              "default_with_oids"};

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

template <typename Names>
std::optional<KnownSetting> find_in(const Names& names, SettingUse use,
                                    const std::string& wanted) {
  for (const char* name : names) {
    if (lower(name) == wanted) return KnownSetting{name, use};
  }
  return std::nullopt;
}

}  // namespace

std::optional<KnownSetting> known_setting(std::string_view name) {
  const std::string wanted = lower(name);
  if (wanted.find('.') != std::string::npos) {
    return KnownSetting{wanted, SettingUse::kDecidesValues};
  }
  auto found = find_in(kDeciding, SettingUse::kDecidesValues, wanted);
  if (!found) found = find_in(kShaping, SettingUse::kShapesTables, wanted);
  if (!found) found = find_in(kResourceful, SettingUse::kResources, wanted);
  if (!found) found = find_in(kIdle, SettingUse::kWithoutEffect, wanted);
  return found;
}

Settings read_script_settings(pg::Connection& connection) {
  std::vector<const char*> names(kDeciding.begin(), kDeciding.end());
  names.insert(names.end(), kShaping.begin(), kShaping.end());
  std::string resets;
  std::string list;
  for (const char* name : names) {
    resets += fmt::format("RESET {};", name);
    list += fmt::format("{}pg_catalog.current_setting('{}')",
                        list.empty() ? "" : ", ", name);
  }
  pg::Transaction transaction(connection);
  connection.exec(resets);
  const pg::Result result = connection.exec("SELECT " + list);
  Settings settings;
  int column = 0;
  for (const char* name : names) settings[name] = result.text(0, column++);
  transaction.rollback();  // and with it, the resets
  return settings;
}

void apply_settings(pg::Connection& connection, const Settings& settings) {
  for (const auto& [name, value] : settings) {
    connection.exec("SELECT pg_catalog.set_config($1, $2, false)",
                    {name, value});
  }
}

void apply_resources(pg::Connection& connection, const Settings& settings) {
  for (const auto& [name, value] : settings) {
    const auto known = known_setting(name);
    if (!known || known->use != SettingUse::kResources) continue;
    connection.exec("SELECT pg_catalog.set_config($1, $2, true)",
                    {name, value});
  }
}

}  // namespace pgrecast::catalog
