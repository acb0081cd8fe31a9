#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include "folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pgrecast::plan {

using catalog::Column;
using pg::quote_identifier;

// Once it is checked.
std::string Folder::expression_text(
    const script::Expression& expression) const {
  return fmt::format(
      "({})",
      script_->slice_with(expression.span, frozen_.at(expression.span.begin)));
}

void Folder::check_expression(const Folding& folding,
                              const script::Expression& expression,
                              const std::optional<std::string>& alias) {
  std::vector<script::Replacement> unqualified;
  for (const script::ColumnUse& use : expression.facts.columns) {
    if (!folding.live.contains(use.name)) {
      refuse(use.span.begin,
             fmt::format("{} is no column here: the whole row, a function of "
                         "it, and generated columns of earlier statements "
                         "cannot be used",
                         use.name),
             "name the columns that are needed one by one");
    }
    const auto column =
        std::ranges::find(folding.columns, use.name, &Column::name);
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
  if (expression.facts.has_date_word) {
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
    refuse(script_->offset_of(expression.span, tried,
                              tried.empty() ? 0 : error.fields().position),
           fmt::format("the server refuses this: {}", error.what()),
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

void Folder::apply(const script::Statement& statement,
                   const script::Update& body) {
  Folding& folding = folding_of(statement, body.table);
  const std::string alias =
      body.alias ? quote_identifier(*body.alias) : source_alias(folding);
  for (const script::Assignment& assignment : body.assignments) {
    for (const auto& [attnum, value] : folding.key) {
      if (find_attnum(folding.columns, attnum)->name == assignment.column) {
        refuse(assignment.expression.span.begin,
               fmt::format("column {} belongs to the key, and cannot be "
                           "computed",
                           assignment.column),
               kKeyRemedy);
      }
    }
    check_expression(folding, assignment.expression, body.alias);
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
