#include "pgrecast/catalog/settings.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <array>

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

}  // namespace

Settings read_script_settings(pg::Connection& connection) {
  std::string resets;
  std::string list;
  for (const char* name : kDeciding) {
    resets += fmt::format("RESET {};", name);
    list += fmt::format("{}pg_catalog.current_setting('{}')",
                        list.empty() ? "" : ", ", name);
  }
  pg::Transaction transaction(connection);
  connection.exec(resets);
  const pg::Result result = connection.exec("SELECT " + list);
  Settings settings;
  int column = 0;
  for (const char* name : kDeciding) {
    settings[name] = result.text(0, column++);
  }
  transaction.rollback();  // and with it, the resets
  return settings;
}

void apply_settings(pg::Connection& connection, const Settings& settings) {
  for (const auto& [name, value] : settings) {
    connection.exec("SELECT pg_catalog.set_config($1, $2, false)",
                    {name, value});
  }
}

}  // namespace pgrecast::catalog
