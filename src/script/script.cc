#include "pgrecast/script/script.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/text.h"

#include "new_names.h"
#include "place_of.h"
#include "postgres_parser.h"
#include "statement_reader.h"
#include "statements.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

namespace pgrecast::script {
namespace {

ScriptProblem problem_at(const SourceText& source, ScriptProblem::Kind kind,
                         std::size_t offset, std::string message,
                         std::string remedy) {
  ScriptProblem problem{.kind = kind,
                        .place = source.place(offset),
                        .message = std::move(message),
                        .remedy = std::move(remedy),
                        .formatted = {}};
  problem.formatted =
      source.message_at(offset, problem.message, problem.remedy);
  return problem;
}

[[noreturn]] void fail(const SourceText& source, ScriptProblem::Kind kind,
                       std::size_t offset, std::string message,
                       std::string remedy) {
  throw ScriptError({problem_at(source, kind, offset, std::move(message),
                                std::move(remedy))});
}

void check_encoding(const SourceText& source) {
  const std::size_t at = find_invalid_utf8(source.text());
  if (at == std::string::npos) return;
  fail(source, ScriptProblem::Kind::kSyntax, at,
       fmt::format("byte 0x{:02X} is not UTF-8 text",
                   static_cast<unsigned char>(source.text()[at])),
       "save the script as UTF-8");
}

// A backslash outside strings and comments. Where the text cannot be scanned to
// its end (`\echo it's`), only one that begins a line can be told.
std::optional<std::size_t> find_meta_command(const std::string& text) {
  if (const auto tokens = scan_sql(text)) {
    for (const Token& token : *tokens) {
      if (text[token.span.begin] == '\\') return token.span.begin;
    }
    return std::nullopt;
  }
  for (std::size_t at = text.find('\\'); at != std::string::npos;
       at = text.find('\\', at + 1)) {
    const std::size_t newline = at == 0 ? text.npos : text.rfind('\n', at - 1);
    const std::size_t begin = newline == text.npos ? 0 : newline + 1;
    const bool first_of_line = text.find_first_not_of(" \t\r", begin) == at;
    if (first_of_line && scan_sql(text.substr(0, at))) return at;
  }
  return std::nullopt;
}

[[noreturn]] void fail_meta_command(const SourceText& source,
                                    std::size_t begin) {
  const std::string& text = source.text();
  const std::size_t end =
      std::min(text.find_first_of(" \t\r\n;", begin), text.size());
  const std::string command = text.substr(begin, end - begin);
  const bool includes = command == "\\i" || command == "\\ir" ||
                        command == "\\include" ||
                        command == "\\include_relative";
  fail(source, ScriptProblem::Kind::kRefused, begin,
       fmt::format("{} is a meta-command of psql, which pgrecast does not run: "
                   "it is not SQL",
                   command),
       includes ? "put that file's text here instead"
                : "take the line out; what SQL can say, write as SQL");
}

[[noreturn]] void fail_syntax(const SourceText& source,
                              const SyntaxError& error) {
  const std::string& text = source.text();
  if (const auto meta = find_meta_command(text)) {
    fail_meta_command(source, *meta);
  }
  if (error.offset < text.size() && text[error.offset] == ':') {
    fail(source, ScriptProblem::Kind::kSyntax, error.offset, error.message,
         "variables of psql are not replaced: write the value");
  }
  fail(source, ScriptProblem::Kind::kSyntax, error.offset, error.message,
       fmt::format("correct it; pgrecast reads the syntax of PostgreSQL {}",
                   parser_version()));
}

Tree parse_or_fail(const SourceText& source) {
  auto parsed = parse_sql(source.text());
  if (const auto* error = std::get_if<SyntaxError>(&parsed)) {
    fail_syntax(source, *error);
  }
  return std::get<Tree>(std::move(parsed));
}

std::vector<Token> scan_or_fail(const SourceText& source) {
  auto tokens = scan_sql(source.text());
  if (tokens) return *std::move(tokens);
  fail(source, ScriptProblem::Kind::kRefused, 0,
       "the script's words cannot be told apart",
       "report it as a bug, with the script");
}

std::size_t number(const Tree& node, const char* name) {
  const Tree& value = field(node, name);
  return value.is_number_unsigned() ? value.get<std::size_t>() : 0;
}

// The parser's statement includes the white space and comments before it, and
// has no length when the text ends with it.
Span statement_span(const SourceText& source, const std::vector<Token>& tokens,
                    const Tree& item) {
  const std::size_t begin = number(item, "stmt_location");
  const std::size_t size = number(item, "stmt_len");
  const std::size_t end = size == 0 ? source.text().size() : begin + size;
  std::optional<Span> span;
  for (const Token& token : tokens) {
    if (token.span.begin < begin || token.span.end > end) continue;
    if (token.kind == Token::Kind::kComment) continue;
    if (source.slice(token.span) == ";") continue;
    if (!span) span = token.span;
    span->end = token.span.end;
  }
  return span.value_or(Span{begin, begin});
}

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// With blanks where the text had none: FROM"t"WHERE.
std::string spaced(const SourceText& source, Span span,
                   std::string_view replacement) {
  const std::string& text = source.text();
  const bool before = span.begin > 0 && !is_space(text[span.begin - 1]);
  const bool after = span.end < text.size() && !is_space(text[span.end]);
  return fmt::format("{}{}{}", before ? " " : "", replacement,
                     after ? " " : "");
}

// Of a statement that parsed before, and of a name that we have quoted: where
// one of them is nothing, that is a bug of ours.
[[noreturn]] void fail_names(const SourceText& source, std::size_t offset) {
  fail(source, ScriptProblem::Kind::kRefused, offset,
       "the names cannot be replaced by those of the shadow for certain",
       "report it as a bug, with the script");
}

Tree tree_of(const SourceText& source, const Statement& statement) {
  Tree tree = parse_single(std::string(source.slice(statement.span)));
  if (tree.is_null()) fail_names(source, statement.span.begin);
  return tree;
}

Tree tree_of_name(const SourceText& source, const Statement& statement,
                  std::string_view name) {
  Tree tree = parse_table_name(name);
  if (tree.is_null()) fail_names(source, statement.span.begin);
  return tree;
}

// Replacing the names must give what the statement is with them.
void require_renamed(const SourceText& source, std::size_t offset,
                     const std::string& result, const Tree& expected) {
  const Tree actual = parse_single(result);
  if (actual.is_null() || actual != expected) fail_names(source, offset);
}

const ObjectName& object_of(const Statement& statement) {
  if (const auto* alter = std::get_if<AlterIndex>(&statement.body)) {
    return alter->index;
  }
  if (const auto* comment = std::get_if<CommentOnObject>(&statement.body)) {
    return comment->object;
  }
  return std::get<CreateStatistics>(statement.body).statistics;
}

}  // namespace

struct Script::Parsed {
  SourceText source;
  std::vector<Statement> statements;

  // What is wrong with those that are not taken. Throws ScriptError where
  // nothing can be told apart.
  std::vector<ScriptProblem> read_statements();
};

std::vector<ScriptProblem> Script::Parsed::read_statements() {
  check_encoding(source);
  const Tree tree = parse_or_fail(source);
  const std::vector<Token> tokens = scan_or_fail(source);
  std::vector<ScriptProblem> problems;
  for (const Tree& item : field(tree, "stmts")) {
    const Span span = statement_span(source, tokens, item);
    try {
      const StatementReader reader(source, span, tokens);
      statements.push_back({.span = span,
                            .place = source.place(span.begin),
                            .body = classify(reader, field(item, "stmt"))});
    } catch (const ScriptError& error) {
      problems.insert(problems.end(), error.problems().begin(),
                      error.problems().end());
    }
  }
  if (statements.empty() && problems.empty()) {
    fail(source, ScriptProblem::Kind::kRefused, 0,
         "the script holds no statement", "write the migration into it");
  }
  return problems;
}

const TableName* table_of(const Statement& statement) {
  return std::visit(
      [](const auto& body) -> const TableName* {
        if constexpr (requires { body.table; }) {
          return &body.table;
        } else {
          return nullptr;
        }
      },
      statement.body);
}

Script Script::parse(std::string text, std::string file_name) {
  Reading reading = read(std::move(text), std::move(file_name));
  if (!reading.problems.empty()) {
    throw ScriptError(std::move(reading.problems));
  }
  return std::move(reading.script);
}

Script::Reading Script::read(std::string text, std::string file_name) {
  auto parsed = std::make_shared<Parsed>(
      Parsed{SourceText(std::move(text), std::move(file_name)), {}});
  std::vector<ScriptProblem> problems;
  try {
    problems = parsed->read_statements();
  } catch (const ScriptError& error) {
    if (error.kind() == ScriptProblem::Kind::kSyntax) throw;
    problems = error.problems();
  }
  return {.script = Script(std::move(parsed)), .problems = std::move(problems)};
}

const std::vector<Statement>& Script::statements() const {
  return parsed_->statements;
}

const SourceText& Script::source() const {
  return parsed_->source;
}

std::string Script::slice_with(Span whole,
                               std::vector<Replacement> replacements) const {
  std::sort(replacements.begin(), replacements.end(),
            [](const Replacement& a, const Replacement& b) {
              return a.span < b.span;
            });
  std::string result;
  std::size_t at = whole.begin;
  for (const auto& [span, text] : replacements) {
    PGRECAST_ASSERT(span.begin >= at, "begin={} at={}", span.begin, at);
    PGRECAST_ASSERT(span.end <= whole.end, "end={} whole={}", span.end,
                    whole.end);
    result += slice({at, span.begin});
    result += text;
    at = span.end;
  }
  result += slice({at, whole.end});
  return result;
}

std::size_t Script::offset_of(Span span, const std::string& run,
                              std::size_t position) const {
  if (position == 0) return span.begin;
  const auto place = place_of(std::string(slice(span)), run,
                              offset_of_character(run, position - 1));
  return span.begin + place.value_or(0);
}

std::string Script::with_partition_replaced(const Statement& statement,
                                            std::string_view partition,
                                            std::string_view parent) const {
  const auto& body = std::get<CreatePartition>(statement.body);
  std::string result = slice_with(
      statement.span,
      {{body.partition.span, spaced(source(), body.partition.span, partition)},
       {body.parent.span, spaced(source(), body.parent.span, parent)}});
  require_renamed(source(), statement.span.begin, result,
                  with_partition(tree_of(source(), statement),
                                 tree_of_name(source(), statement, partition),
                                 tree_of_name(source(), statement, parent)));
  return result;
}

std::string Script::with_table_replaced(const Statement& statement,
                                        std::string_view replacement) const {
  const TableName* table = table_of(statement);
  PGRECAST_ASSERT(table != nullptr, "statement at line {} names no table",
                  statement.place.line);
  std::vector<Replacement> replacements{
      {table->span, spaced(source(), table->span, replacement)}};
  if (const auto* index = std::get_if<CreateIndex>(&statement.body)) {
    if (index->concurrently) replacements.push_back({*index->concurrently, ""});
  }
  std::string result = slice_with(statement.span, std::move(replacements));
  require_renamed(source(), table->span.begin, result,
                  with_table(tree_of(source(), statement),
                             tree_of_name(source(), statement, replacement)));
  return result;
}

std::string Script::with_tables_replaced(
    const Statement& statement, std::string_view replacement,
    const std::vector<std::string>& referenced) const {
  const auto& alter = std::get<AlterTable>(statement.body);
  PGRECAST_ASSERT(referenced.size() == alter.foreign_keys.size(), "line={}",
                  statement.place.line);
  std::vector<Replacement> replacements{
      {alter.table.span, spaced(source(), alter.table.span, replacement)}};
  std::vector<Tree> names;
  for (std::size_t i = 0; i < referenced.size(); ++i) {
    const Span span = alter.foreign_keys[i].referenced.span;
    replacements.push_back({span, spaced(source(), span, referenced[i])});
    names.push_back(tree_of_name(source(), statement, referenced[i]));
  }
  std::string result = slice_with(statement.span, std::move(replacements));
  require_renamed(source(), alter.table.span.begin, result,
                  with_references(with_table(tree_of(source(), statement),
                                             tree_of_name(source(), statement,
                                                          replacement)),
                                  names));
  return result;
}

std::optional<std::string> Script::without_foreign_keys(
    const Statement& statement, std::string_view replacement) const {
  const auto& alter = std::get<AlterTable>(statement.body);
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < alter.subcommands.size(); ++i) {
    if (alter.subcommands[i].kind == AlterKind::kAddForeignKey) continue;
    std::vector<Replacement> clauses;
    for (const AddedForeignKey& key : alter.foreign_keys) {
      if (key.subcommand == i) clauses.push_back({key.clause, ""});
    }
    kept.push_back(slice_with(alter.subcommands[i].span, std::move(clauses)));
  }
  if (kept.empty()) return std::nullopt;
  const Span head{.begin = statement.span.begin,
                  .end = alter.subcommands.front().span.begin};
  std::string result =
      slice_with(head, {{alter.table.span,
                         spaced(source(), alter.table.span, replacement)}}) +
      join(kept, ", ");
  require_renamed(source(), alter.table.span.begin, result,
                  script::without_foreign_keys(with_table(
                      tree_of(source(), statement),
                      tree_of_name(source(), statement, replacement))));
  return result;
}

std::string Script::with_object_replaced(const Statement& statement,
                                         std::string_view replacement) const {
  const Span span = object_of(statement).span;
  std::string result =
      slice_with(statement.span, {{span, spaced(source(), span, replacement)}});
  require_renamed(source(), span.begin, result,
                  with_object(tree_of(source(), statement),
                              tree_of_name(source(), statement, replacement)));
  return result;
}

std::string Script::with_statistics_replaced(const Statement& statement,
                                             std::string_view statistics,
                                             std::string_view table) const {
  const auto& body = std::get<CreateStatistics>(statement.body);
  std::string result =
      slice_with(statement.span,
                 {{body.statistics.span,
                   spaced(source(), body.statistics.span, statistics)},
                  {body.table.span, spaced(source(), body.table.span, table)}});
  require_renamed(
      source(), statement.span.begin, result,
      with_object(with_table(tree_of(source(), statement),
                             tree_of_name(source(), statement, table)),
                  tree_of_name(source(), statement, statistics)));
  return result;
}

}  // namespace pgrecast::script
