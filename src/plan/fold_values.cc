#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/partitions.h"

#include "folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pgrecast::plan {

using catalog::Column;
using pg::quote_identifier;

namespace {

// Whether a cast would cut something off within a value of the type: off the
// fields of a composite, or the elements of an array of domains.
bool is_cut_within(pg::Connection& connection, catalog::Oid type) {
  return !connection
              .exec(R"sql(
WITH RECURSIVE part(oid, modifier, within) AS (
  SELECT $1::pg_catalog.oid, -1, false
  UNION
  SELECT x.oid, x.modifier, true
  FROM part p
  JOIN pg_catalog.pg_type t ON t.oid = p.oid
  CROSS JOIN LATERAL (
    SELECT t.typelem, p.modifier WHERE t.typcategory = 'A'
    UNION ALL
    SELECT t.typbasetype, t.typtypmod WHERE t.typtype = 'd'
    UNION ALL
    SELECT a.atttypid, a.atttypmod FROM pg_catalog.pg_attribute a
    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0
      AND NOT a.attisdropped) AS x(oid, modifier))
SELECT FROM part WHERE within AND modifier >= 0
  AND oid = ANY ('{1042,1043,1560,1562}'::pg_catalog.oid[]))sql",
                    {type})
              .empty();
}

// By hand, a date word that is put into a text is that word.
bool is_text(catalog::Oid base_type) {
  constexpr std::array<catalog::Oid, 4> kTexts = {19, 25, 1042, 1043};
  return std::ranges::find(kTexts, base_type) != kTexts.end();
}

}  // namespace

// Once it is checked.
std::string Folder::expression_text(
    const script::Expression& expression) const {
  return fmt::format(
      "({})",
      script_->slice_with(expression.span, frozen_.at(expression.span.begin)));
}

// The server's words are about the statement by which we ask.
void Folder::refuse_no_value(const script::Expression& expression,
                             const std::string& sqlstate, std::size_t place) {
  const auto& calls = expression.facts.functions;
  const auto call =
      std::ranges::find(calls, place, &script::FunctionUse::begin);
  if (call == calls.end()) return;
  const std::string& name = call->function.name;
  if (sqlstate == pg::sqlstate::kGroupingError) {
    refuse(place,
           fmt::format("{} is an aggregate function, which reads other rows",
                       name),
           "write an expression over the row's own columns");
  }
  if (sqlstate == pg::sqlstate::kFeatureNotSupported) {
    refuse(place,
           fmt::format("{} returns a set of values, and a row takes one", name),
           "write an expression that gives one value");
  }
}

void Folder::check_expression(const Folding& folding,
                              const script::Expression& expression,
                              const std::optional<std::string>& alias,
                              const Column* assigned_to) {
  std::vector<script::Replacement> unqualified;
  for (const script::ColumnUse& use : expression.facts.columns) {
    const auto column =
        std::ranges::find(folding.columns, use.name, &Column::name);
    const bool live = folding.live.contains(use.name);
    if (!live && column != folding.columns.end()) {
      refuse(use.span.begin,
             fmt::format("the values of the generated column {} are not known "
                         "at this statement: the server computes them when it "
                         "stores the row",
                         use.name),
             "write out its expression");
    }
    if (!live) {
      refuse(use.span.begin,
             fmt::format("{} is no column here: the whole row and functions of "
                         "it cannot be used",
                         use.name),
             "name the columns that are needed one by one");
    }
    if (column != folding.columns.end() &&
        folding.made_anew.contains(column->attnum)) {
      refuse(use.span.begin,
             fmt::format("the values of {} are made anew whenever a row is "
                         "copied, so nothing can be computed from them",
                         use.name),
             "compute it in a migration of its own, after this one");
    }
    const std::string& known = alias ? *alias : folding.table->source.name.name;
    if (use.qualifier && *use.qualifier != known) {
      refuse(use.span.begin,
             fmt::format("{} is not this table's name here", *use.qualifier),
             fmt::format("write {}.{}", known, use.name));
    }
    unqualified.push_back(
        {.span = use.span, .text = quote_identifier(use.name)});
  }
  const bool only_text = expression.facts.is_constant &&
                         assigned_to != nullptr &&
                         is_text(assigned_to->base_type_oid);
  if (expression.facts.has_date_word && !only_text) {
    refuse(expression.span.begin,
           "'now', 'today', 'tomorrow' and 'yesterday' differ each time they "
           "are evaluated",
           "write the date or time itself");
  }
  std::optional<ValueRules::Problem> problem;
  std::string tried;
  try {
    const auto& frozen = frozen_[expression.span.begin] =
        rules_.frozen(*script_, expression);
    std::ranges::copy(frozen, std::back_inserter(unqualified));
    tried = script_->slice_with(expression.span, unqualified);
    problem = rules_.problem(folding.table->shadow, tried);
  } catch (const pg::SqlError& error) {
    // Before anything is tried, the place is one in a statement of ours.
    const std::size_t place = script_->offset_of(
        expression.span, tried, tried.empty() ? 0 : error.fields().position);
    refuse_no_value(expression, error.sqlstate(), place);
    refuse(place, fmt::format("the server refuses this: {}", error.what()),
           "correct the expression");
  }
  if (!problem) return;
  const auto& calls = expression.facts.functions;
  const auto call =
      std::ranges::find_if(calls, [&](const script::FunctionUse& use) {
        return use.function.name == problem->function;
      });
  refuse(call == calls.end() ? expression.span.begin : call->begin,
         problem->refusal.what, problem->refusal.remedy);
}

void Folder::refuse_only(const Folding& folding,
                         const script::TableName& table) {
  if (!table.only || !is_partitioned(*connection_, folding.shadow_oid)) return;
  refuse(table.span.begin,
         fmt::format("ONLY {} leaves out its partitions, which hold the rows",
                     table.name),
         "leave ONLY out");
}

// By hand, a rule would do something else, or more, than what is written.
void Folder::refuse_rules(const script::Statement& statement,
                          const Folding& folding, char event,
                          const char* word) {
  const pg::Result rules = connection_->exec(
      "SELECT rulename FROM pg_catalog.pg_rewrite"
      " WHERE ev_class = $1::pg_catalog.oid AND ev_type::pg_catalog.text = $2"
      "  AND ev_enabled NOT IN ('D', 'R') ORDER BY rulename",
      {folding.table->source.oid, std::string(1, event)});
  if (rules.empty()) return;
  refuse(
      statement.span.begin,
      fmt::format("rule {} of {} would change what this {} does",
                  rules.text(0, 0), folding.table->source.name.display(), word),
      "disable the rule beforehand, if the script means what it says");
}

void Folder::apply(const script::Statement& statement,
                   const script::Update& body) {
  Folding& folding = folding_of(statement, body.table);
  refuse_only(folding, body.table);
  refuse_rules(statement, folding, '2', "UPDATE");
  const std::string alias =
      body.alias ? quote_identifier(*body.alias) : source_alias(folding);
  for (const script::Assignment& assignment : body.assignments) {
    refuse_cascade(assignment.expression.span.begin, folding,
                   &assignment.column);
    for (const auto& [attnum, value] : folding.key) {
      if (find_attnum(folding.columns, attnum)->name == assignment.column) {
        refuse(assignment.expression.span.begin,
               fmt::format("column {} belongs to the key, and cannot be "
                           "computed",
                           assignment.column),
               kKeyRemedy);
      }
    }
    const auto column =
        std::ranges::find(folding.columns, assignment.column, &Column::name);
    const Column* assigned_to =
        column == folding.columns.end() ? nullptr : &*column;
    check_expression(folding, assignment.expression, body.alias, assigned_to);
    if (assigned_to != nullptr &&
        is_cut_within(*connection_, assigned_to->base_type_oid)) {
      refuse(
          assignment.expression.span.begin,
          fmt::format("{} is of a type with parts of a limited length, which "
                      "a migration would cut off where an UPDATE refuses",
                      assignment.column),
          "set it by hand, after the migration");
    }
  }
  if (body.where) {
    check_expression(folding, *body.where, body.alias);
  }
  computes_values(statement);
  run_on_clone(statement, folding);
  std::vector<std::string> list;
  std::set<std::string> live;
  for (const Column& column : folding.columns) {
    if (!folding.live.contains(column.name) || column.generated) continue;
    live.insert(column.name);
    const std::string name = quote_identifier(column.name);
    const auto assignment = std::ranges::find(body.assignments, column.name,
                                              &script::Assignment::column);
    if (assignment == body.assignments.end()) {
      list.push_back(fmt::format("{}.{}", alias, name));
      continue;
    }
    if (body.where && folding.made_anew.contains(column.attnum)) {
      refuse(assignment->expression.span.begin,
             fmt::format("the values of {} are made anew whenever a row is "
                         "copied, so that some of them cannot be replaced",
                         column.name),
             "leave WHERE out, or do it in a migration of its own");
    }
    folding.made_anew.erase(column.attnum);
    std::string value =
        assigned(expression_text(assignment->expression), column);
    if (body.where && rule_on("fold_where")) {
      value = fmt::format("CASE WHEN {} THEN {} ELSE {}.{} END",
                          expression_text(*body.where), value, alias, name);
    }
    list.push_back(fmt::format("{} AS {}", value, name));
    folding.changes.push_back(fmt::format("values of {} set{}", column.name,
                                          body.where ? " where asked" : ""));
  }
  folding.live = std::move(live);
  wrap(folding, join(list, ", "), alias, "");
}

void Folder::apply(const script::Statement& statement,
                   const script::Delete& body) {
  Folding& folding = folding_of(statement, body.table);
  refuse_only(folding, body.table);
  refuse_rules(statement, folding, '4', "DELETE");
  refuse_cascade(statement.span.begin, folding, nullptr);
  check_expression(folding, body.where, body.alias);
  computes_values(statement);
  run_on_clone(statement, folding);
  std::vector<std::string> list;
  for (const std::string& name : folding.live) {
    list.push_back(quote_identifier(name));
  }
  wrap(folding, join(list, ", "),
       body.alias ? quote_identifier(*body.alias) : source_alias(folding),
       // OFFSET 0: nothing is computed from rows that are gone by then.
       fmt::format("({}) IS NOT TRUE OFFSET 0", expression_text(body.where)));
  folding.changes.emplace_back("rows left behind where asked");
}

}  // namespace pgrecast::plan
