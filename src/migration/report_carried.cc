// What hangs off a table, by kind, and what its triggers do not notice.

#include "pgrecast/catalog/shape.h"
#include "pgrecast/catalog/views.h"
#include "pgrecast/exchange/inventory.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/plan.h"

#include "reporting.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <variant>

namespace pgrecast::migration {
namespace {

struct Kind {
  std::string_view fact;  // how an inventory names it
  std::string_view kind;
  std::string_view how;
};

constexpr std::string_view kAlready = "on the new table before the exchange";
constexpr std::string_view kValidated =
    "made NOT VALID in the exchange, validated after it";
constexpr std::string_view kAgain = "made again in the exchange";

// In the order in which they are shown. docs/reference/carried.md says more of
// each; what is not on that list the plan refuses.
constexpr std::array<Kind, 18> kKinds = {{
    {"index ", "indexes", kAlready},
    {"constraint ", "constraints", kAlready},
    {"foreign key ", "foreign keys of it", kValidated},
    {"referenced by ", "foreign keys to it", kValidated},
    {"identity of column ", "identities",
     "the new column's own sequence takes over name, value and grants"},
    {"owned sequence ", "owned sequences", "handed over, with their values"},
    {"trigger ", "triggers", kAgain},
    {"rule ", "rules", kAgain},
    {"policy ", "policies", kAgain},
    {"used by ", "mentioned by", "altered or made again in the exchange"},
    {"publication ", "publications",
     "the new table put in the old one's place"},
    {"statistics ", "extended statistics", kAgain},
    {"grant ", "grants", "read again, and given, in the exchange"},
    {"comment on ", "comments", kAlready},
    {"security label", "security labels", "set again in the exchange"},
    {"partition of ", "partition of",
     "the old one detached, the new one attached, in the exchange"},
    {"inherits from ", "inherits from",
     "the new one put in the old one's place, in the exchange"},
    {"inherited by ", "inherited by",
     "they leave the old one for the new one, in the exchange"},
}};

// What the script drops, or what goes with a column, does not come along.
bool is_gone(const std::string& fact, const exchange::ExchangeTable& table,
             const catalog::Facts& shadow) {
  constexpr std::string_view kColumn = "comment on column ";
  if (std::ranges::any_of(table.target->dropped_statistics,
                          [&](const catalog::QualifiedName& statistics) {
                            return fact == "statistics " + statistics.display();
                          })) {
    return true;
  }
  constexpr std::string_view kForeignKey = "foreign key ";
  if (fact.starts_with(kForeignKey) &&
      table.target->dropped_foreign_keys.contains(
          fact.substr(kForeignKey.size()))) {
    return true;
  }
  if (exchange::handed_over(fact)) return false;
  if (!fact.starts_with(kColumn)) return !shadow.contains(fact);
  const auto renamed = table.renamed.find(fact.substr(kColumn.size()));
  return !shadow.contains(renamed == table.renamed.end()
                              ? fact
                              : std::string(kColumn) + renamed->second);
}

// Belongs to another fact, or to the owner without being granted.
bool left_out(const std::string& fact, const std::string& owner) {
  constexpr std::string_view kComment = "foreign key comment ";
  constexpr std::string_view kOfAView = "used by rule _RETURN on ";
  return fact.starts_with(kComment) || fact.starts_with(kOfAView) ||
         (fact.starts_with("grant ") && fact.ends_with(" to " + owner));
}

std::vector<CarriedKind> view_kinds(
    pg::Connection& connection, const std::vector<exchange::ExchangeTable>& all,
    const std::set<std::string>& of_table) {
  std::vector<catalog::Reshaped> reshaped;
  for (const exchange::ExchangeTable& table : all) {
    reshaped.push_back({.source = table.source_oid,
                        .target = table.shadow_oid,
                        .renamed = table.renamed});
  }
  CarriedKind kept{.kind = "views", .names = {}, .how = "keep their OIDs"};
  CarriedKind anew{.kind = "views made anew",
                   .names = {},
                   .how = "dropped and created in the exchange"};
  CarriedKind filled{.kind = "materialized views",
                     .names = {},
                     .how =
                         "filled on the new table right before the exchange, "
                         "and put in their places"};
  for (const catalog::DependentView& view :
       catalog::dependent_views(connection, reshaped)) {
    if (!of_table.contains(view.name.display())) continue;
    CarriedKind& kind = view.materialized ? filled : view.anew ? anew : kept;
    kind.names.push_back(view.name.display());
  }
  std::vector<CarriedKind> kinds;
  for (CarriedKind& kind :
       std::array{std::move(kept), std::move(anew), std::move(filled)}) {
    if (!kind.names.empty()) kinds.push_back(kind);
  }
  return kinds;
}

// Bits of pg_trigger.tgtype.
constexpr int kOnDelete = 8;
constexpr int kOnUpdate = 16;

// $2: the columns that an UPDATE sets. No trigger names one that is added.
constexpr const char* kFired = R"sql(
SELECT t.tgname
FROM pg_catalog.pg_trigger t
WHERE t.tgrelid = $1::pg_catalog.oid AND NOT t.tgisinternal
  AND t.tgenabled IN ('O', 'A') AND t.tgtype & $3::pg_catalog.int4 <> 0
  AND ($3::pg_catalog.int4 <> 16
       OR pg_catalog.cardinality(t.tgattr::pg_catalog.int2[]) = 0
       OR EXISTS (
         SELECT FROM pg_catalog.unnest($2::pg_catalog.text[]) AS s(name)
         JOIN pg_catalog.pg_attribute a
           ON a.attrelid = t.tgrelid AND a.attname = s.name
         WHERE a.attnum = ANY (t.tgattr)))
ORDER BY t.tgname)sql";

}  // namespace

std::vector<CarriedKind> carried_kinds(
    pg::Connection& connection, const std::vector<exchange::ExchangeTable>& all,
    const exchange::ExchangeTable& table, const std::string& owner) {
  const exchange::Inventory inventory =
      exchange::read_inventory(connection, table.source_oid);
  const catalog::Facts shadow =
      catalog::read_shape(connection, table.shadow_oid);
  std::vector<CarriedKind> kinds;
  for (const Kind& kind : kKinds) {
    CarriedKind carried{.kind = std::string(kind.kind),
                        .names = {},
                        .how = std::string(kind.how)};
    for (const auto& [fact, value] : inventory) {
      if (!fact.starts_with(kind.fact) || left_out(fact, owner)) continue;
      if (is_gone(fact, table, shadow)) continue;
      carried.names.push_back(fact.substr(kind.fact.size()));
    }
    if (!carried.names.empty()) kinds.push_back(std::move(carried));
  }
  std::set<std::string> views;
  for (const auto& [fact, value] : inventory) {
    constexpr std::string_view kView = "view columns of ";
    if (fact.starts_with(kView)) views.insert(fact.substr(kView.size()));
  }
  auto of_views = view_kinds(connection, all, views);
  std::ranges::move(of_views, std::back_inserter(kinds));
  return kinds;
}

std::vector<std::string> silent_triggers(pg::Connection& connection,
                                         const Statements& statements,
                                         const exchange::ExchangeTable& table) {
  std::set<std::string> names;
  for (const script::Statement* statement : statements) {
    const auto* update = std::get_if<script::Update>(&statement->body);
    if (update == nullptr &&
        !std::holds_alternative<script::Delete>(statement->body)) {
      continue;
    }
    std::vector<std::string> columns;
    if (update != nullptr) {
      for (const script::Assignment& assignment : update->assignments) {
        columns.push_back(assignment.column);
        // Or as it is called before the script renames it.
        for (const auto& [before, after] : table.renamed) {
          if (after == assignment.column) columns.push_back(before);
        }
      }
    }
    const pg::Result fired =
        connection.exec(kFired, {table.source_oid, pg::array_literal(columns),
                                 update == nullptr ? kOnDelete : kOnUpdate});
    for (int row = 0; row < fired.rows(); ++row) {
      names.emplace(fired.text(row, 0));
    }
  }
  return {names.begin(), names.end()};
}

}  // namespace pgrecast::migration
