#pragma once

#include "pgrecast/script/script_error.h"
#include "pgrecast/script/source_text.h"
#include "pgrecast/script/statement.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::script {

// Text to stand in the place of a span.
struct Replacement {
  Span span;
  std::string text;
};

// A migration script, split, classified and located by PostgreSQL's own parser
// (libpg_query, version 15), without any I/O. `plan` folds what it says.
//
// Immutable after parse(), cheap to copy, and safe to read on any thread; views
// into the text live as long as any copy.
//
// The parser assumes standard_conforming_strings = on, the default of every
// server since 9.1; whoever runs the text must make sure of it.
class Script {
 public:
  // Throws ScriptError for what is no SQL, and for statements that pgrecast
  // does not take.
  static Script parse(std::string text, std::string file_name);

  // The same of a script of which some statements are not taken. Throws
  // ScriptError for what is no SQL alone.
  struct Reading;
  static Reading read(std::string text, std::string file_name);

  // In the script's order; at least one, but for a Reading with problems.
  const std::vector<Statement>& statements() const;

  const SourceText& source() const;

  std::string_view slice(Span span) const { return source().slice(span); }

  // The text of `whole` with `replacements`, which must lie within it and not
  // overlap; in any order. To freeze now() within an expression, for example.
  std::string slice_with(Span whole,
                         std::vector<Replacement> replacements) const;

  // The statement's text, without semicolon, on another table: `replacement`
  // (SQL text: quoted where it must be) stands where the table was named, and
  // CONCURRENTLY is left out. Not for what names no table: see table_of().
  //
  // The result was parsed again and differs in nothing else. Throws ScriptError
  // where it would. (Expressions that are qualified with the table's name, as
  // in `t.col`, need a replacement with the same last part.)
  std::string with_table_replaced(const Statement& statement,
                                  std::string_view replacement) const;

  // The same of an AlterTable, with other tables behind REFERENCES, too:
  // `referenced` is as AlterTable::foreign_keys.
  std::string with_tables_replaced(
      const Statement& statement, std::string_view replacement,
      const std::vector<std::string>& referenced) const;

  // The same without the foreign keys that it adds; nullopt where it does
  // nothing else.
  std::optional<std::string> without_foreign_keys(
      const Statement& statement, std::string_view replacement) const;

  // The same for the one index or statistics that the statement names: of an
  // AlterIndex, a CommentOnObject, a CreateStatistics.
  std::string with_object_replaced(const Statement& statement,
                                   std::string_view replacement) const;

  // Both at once, of a CreateStatistics.
  std::string with_statistics_replaced(const Statement& statement,
                                       std::string_view statistics,
                                       std::string_view table) const;

  // The statement's text, of a CreatePartition, with both tables replaced in
  // the same way, and proved in the same way.
  std::string with_partition_replaced(const Statement& statement,
                                      std::string_view partition,
                                      std::string_view parent) const;

  // Where in the script the server found fault with `run`, a text that was made
  // of the slice at `span` by the functions above: `position` is the server's,
  // in characters from 1. The beginning of `span` where there is none (0), or
  // where nothing of the slice stands there.
  std::size_t offset_of(Span span, const std::string& run,
                        std::size_t position) const;

  // For messages of later checks: "file:line:column: message", the line, a
  // caret, the remedy.
  std::string error_at(std::size_t offset, std::string_view message,
                       std::string_view remedy) const {
    return source().message_at(offset, message, remedy);
  }

 private:
  struct Parsed;

  explicit Script(std::shared_ptr<const Parsed> parsed)
      : parsed_(std::move(parsed)) {}

  std::shared_ptr<const Parsed> parsed_;
};

// The statements that are taken, and what is wrong with the others, or with the
// whole, where nothing can be told apart: none is taken then.
struct Script::Reading {
  Script script;
  std::vector<ScriptProblem> problems;
};

}  // namespace pgrecast::script
