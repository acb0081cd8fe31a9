#pragma once

#include "pgrecast/script/script_error.h"
#include "pgrecast/script/source_text.h"
#include "pgrecast/script/statement.h"

#include "postgres_parser.h"
#include "tree.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::script {

// One statement's tokens, comments left out, for finding what the parse tree
// does not say: where things end. Everything is by token index; end() is the
// index behind the last token. Whatever is cut out must be proved before it is
// believed: with a wrong slice the rows would be wrong.
//
// Lives within one call of Script::parse, on its thread.
class StatementReader {
 public:
  // `tokens` are the whole script's; those within `span` are taken.
  StatementReader(const SourceText& source, Span span,
                  const std::vector<Token>& tokens);

  Span span() const { return span_; }
  const SourceText& source() const { return source_; }
  std::size_t end() const { return tokens_.size(); }

  // Throws ScriptError, one problem: the statement is refused.
  [[noreturn]] void refuse(std::size_t offset, std::string message,
                           std::string remedy) const;
  // For what should never happen: a place that cannot be told for certain.
  [[noreturn]] void refuse_uncertain(std::size_t offset,
                                     std::string_view what) const;

  std::string_view token(std::size_t index) const;
  std::size_t offset(std::size_t index) const;
  // Both tokens included; `end` excluded. Refuses the statement when empty.
  Span span_of(std::size_t begin, std::size_t end) const;

  // The token that begins at the offset, or the statement is refused.
  std::size_t index_at(std::size_t offset) const;
  std::size_t index_of(const Tree& node) const;

  // Keywords are compared in lower case, and only where they stand as such: not
  // quoted, not as the last part of `t.where`.
  bool is_keyword(std::size_t index, std::string_view keyword) const;
  bool is(std::size_t index, std::string_view text) const;

  // The first at nesting depth 0 within [from, to), else `to`.
  std::size_t find_keyword(std::size_t from, std::size_t to,
                           std::string_view keyword) const;
  std::size_t find(std::size_t from, std::size_t to,
                   std::string_view text) const;

  // The index behind the ")" of the "(" at `open`; end() if it is missing.
  std::size_t behind_parenthesis(std::size_t open) const;

  // The index behind an identifier, with its UESCAPE clause; behind names
  // joined by dots.
  std::size_t behind_name(std::size_t index) const;
  std::size_t behind_qualified_name(std::size_t index) const;

  // Proofs: the slice, parsed again, gives `expected` (locations aside), or the
  // statement is refused.
  void prove_expression(Span slice, const Tree& expected) const;
  void prove_type(Span slice, const Tree& type_name) const;
  void prove_collation(Span slice, const Tree& collation_name) const;
  void prove_table(Span slice, const Tree& range_var) const;
  void prove_subcommand(Span slice, const Tree& command) const;

  // The same as a question.
  bool is_expression(Span slice, const Tree& expected) const;

  // The statement's table, proved.
  TableName table_name(const Tree& range_var) const;

  // Names that the tree has as a list of parts, without a place: the tokens
  // [begin, end) are those, proved.
  TableName table_name(std::size_t begin, std::size_t end,
                       std::vector<std::string> parts) const;
  ObjectName object_name(std::size_t begin,
                         std::vector<std::string> parts) const;

 private:
  template <typename Predicate>
  std::size_t find_if_at_depth_0(std::size_t from, std::size_t to,
                                 Predicate matches) const;
  void prove(Span slice, const Tree& expected, const Tree& actual,
             std::string_view what) const;
  void prove_name(Span slice, const std::optional<std::string>& schema,
                  const std::string& name) const;
  std::string around(std::string_view before, Span slice,
                     std::string_view after) const;

  const SourceText& source_;
  Span span_;
  std::vector<Token> tokens_;
};

// The tree of the only statement of `sql`, {"SelectStmt": {..}}; null if there
// is none or more, or if it does not parse.
Tree parse_single(const std::string& sql);

// `SELECT (sql)` as a tree; null if the text is not one whole expression.
Tree parse_expression(std::string_view sql);

// The RangeVar of a bare table name, without location; null if it is none.
Tree parse_table_name(std::string_view sql);

}  // namespace pgrecast::script
