#pragma once

#include "pgrecast/script/script.h"

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

// What any text is put through, by the fuzzer and by the test that replays its
// corpus.
namespace pgrecast::script {

class FuzzScript {
 public:
  // Whether the text was taken as a script. Throws nothing but a failed
  // expectation (std::logic_error).
  static bool run(std::string_view text) {
    try {
      const Script script = Script::parse(std::string(text), "fuzz.sql");
      for (const Statement& statement : script.statements()) {
        check(script, statement);
      }
      return true;
    } catch (const ScriptError& error) {
      for (const ScriptProblem& problem : error.problems()) {
        expect(problem.place.line >= 1 && problem.place.column >= 1, "a place");
        expect(!problem.message.empty() && !problem.remedy.empty(), "words");
      }
      return false;
    }
  }

 private:
  static void expect(bool condition, const char* what) {
    if (!condition) throw std::logic_error(what);
  }

  static void expect_within(const Statement& statement, Span span) {
    expect(span.begin < span.end, "a slice is not empty");
    expect(span.begin >= statement.span.begin && span.end <= statement.span.end,
           "a slice lies within its statement");
  }

  static void check(const Script& script, const Statement& statement) {
    expect(statement.span.begin < statement.span.end, "a statement has text");
    check_object(script, statement);
    const TableName* table = table_of(statement);
    if (table == nullptr) return;
    expect_within(statement, table->span);
    if (const auto* update = std::get_if<Update>(&statement.body)) {
      check_update(statement, *update);
    }
    check_replaced(replaced(script, statement), statement);
  }

  static void check_object(const Script& script, const Statement& statement) {
    const ObjectName* object = nullptr;
    if (const auto* alter = std::get_if<AlterIndex>(&statement.body)) {
      object = &alter->index;
    }
    if (const auto* comment = std::get_if<CommentOnObject>(&statement.body)) {
      object = &comment->object;
    }
    if (const auto* create = std::get_if<CreateStatistics>(&statement.body)) {
      object = &create->statistics;
    }
    if (object == nullptr) return;
    expect_within(statement, object->span);
    try {
      Script::parse(script.with_object_replaced(statement, "\"m\".\"s t\""),
                    "again.sql");
    } catch (const ScriptError&) {
      throw std::logic_error("what was taken can have another name");
    }
  }

  static void check_update(const Statement& statement, const Update& update) {
    std::size_t at = update.table.span.end;
    for (const Assignment& assignment : update.assignments) {
      expect_within(statement, assignment.expression.span);
      expect(assignment.expression.span.begin > at, "assignments in order");
      at = assignment.expression.span.end;
    }
    if (update.where) expect(update.where->span.begin > at, "WHERE comes last");
  }

  static std::string replaced(const Script& script,
                              const Statement& statement) {
    try {
      return script.with_table_replaced(statement, "\"m\".\"s t\"");
    } catch (const ScriptError&) {
      throw std::logic_error("what was taken can stand on another table");
    }
  }

  // Qualified columns may name the old table, which refuses the new statement.
  static void check_replaced(const std::string& text,
                             const Statement& statement) {
    try {
      const Script again = Script::parse(text, "again.sql");
      expect(again.statements().size() == 1, "one statement stays one");
      const Statement& other = again.statements().front();
      expect(other.body.index() == statement.body.index(), "the same kind");
      expect(table_of(other)->schema == "m", "the other schema");
      expect(table_of(other)->name == "s t", "the other table");
    } catch (const ScriptError& error) {
      expect(error.kind() == ScriptProblem::Kind::kRefused, "still SQL");
    }
  }
};

}  // namespace pgrecast::script
