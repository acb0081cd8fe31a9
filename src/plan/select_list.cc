#include "pgrecast/plan/select_list.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/json.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace pgrecast::plan {
namespace {

// Each text has one hole, written as a zero byte: no SQL text can hold one.
std::string filled(const std::string& text, std::string_view with) {
  const std::size_t hole = text.find('\0');
  PGRECAST_ASSERT(hole != std::string::npos, "text={}", text);
  return text.substr(0, hole) + std::string(with) + text.substr(hole + 1);
}

}  // namespace

std::string SelectList::insert_target() const {
  std::vector<std::string> columns;
  columns.reserve(parts_.insert_columns.size());
  for (const std::string& column : parts_.insert_columns) {
    columns.push_back(pg::quote_identifier(column));
  }
  return fmt::format("({}) OVERRIDING SYSTEM VALUE", join(columns, ", "));
}

std::string SelectList::rows(std::string_view condition,
                             std::string_view from) const {
  return fmt::format("{} WHERE {}{}", filled(parts_.rows_head, from), condition,
                     parts_.rows_tail);
}

std::string SelectList::rows_to_compare(std::string_view condition,
                                        std::string_view from) const {
  return fmt::format("{} WHERE {}{}", filled(parts_.compare_head, from),
                     condition, parts_.compare_tail);
}

std::string SelectList::shadow_to_compare(std::string_view shadow,
                                          std::string_view condition) const {
  std::string list = fmt::format("ctid AS {}, tableoid AS {}",
                                 parts_.ctid_column, parts_.heap_column);
  for (std::size_t i = 0; i < parts_.compare_columns.size(); ++i) {
    const std::string column = pg::quote_identifier(parts_.compare_columns[i]);
    list += fmt::format(", CAST({} AS {}) AS {}", column,
                        parts_.compare_types[i], column);
  }
  return fmt::format("SELECT {} FROM {} WHERE {}", list, shadow, condition);
}

std::vector<std::string> SelectList::key_expressions(
    std::string_view alias) const {
  std::vector<std::string> expressions;
  for (const std::string& expression : parts_.key_expressions) {
    expressions.push_back(filled(expression, alias));
  }
  return expressions;
}

std::string SelectList::to_json() const {
  return recorded_json({{"insert_columns", parts_.insert_columns},
                        {"compare_columns", parts_.compare_columns},
                        {"compare_types", parts_.compare_types},
                        {"alias", parts_.alias},
                        {"from", parts_.from},
                        {"rows_head", parts_.rows_head},
                        {"rows_tail", parts_.rows_tail},
                        {"compare_head", parts_.compare_head},
                        {"compare_tail", parts_.compare_tail},
                        {"key_expressions", parts_.key_expressions},
                        {"ctid_column", parts_.ctid_column},
                        {"heap_column", parts_.heap_column}});
}

SelectList SelectList::from_json(const std::string& json) {
  const auto parsed = nlohmann::json::parse(json);
  Parts parts;
  parsed.at("insert_columns").get_to(parts.insert_columns);
  parsed.at("compare_columns").get_to(parts.compare_columns);
  parsed.at("compare_types").get_to(parts.compare_types);
  parsed.at("alias").get_to(parts.alias);
  parsed.at("from").get_to(parts.from);
  parsed.at("rows_head").get_to(parts.rows_head);
  parsed.at("rows_tail").get_to(parts.rows_tail);
  parsed.at("compare_head").get_to(parts.compare_head);
  parsed.at("compare_tail").get_to(parts.compare_tail);
  parsed.at("key_expressions").get_to(parts.key_expressions);
  parsed.at("ctid_column").get_to(parts.ctid_column);
  parsed.at("heap_column").get_to(parts.heap_column);
  return SelectList(std::move(parts));
}

}  // namespace pgrecast::plan
