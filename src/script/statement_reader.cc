#include "statement_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace pgrecast::script {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_ignoring_case(std::string_view text, std::string_view lower_case) {
  return std::equal(text.begin(), text.end(), lower_case.begin(),
                    lower_case.end(),
                    [](char a, char b) { return lower(a) == b; });
}

// The only target of `SELECT target` with nothing else in the statement.
Tree only_target(const std::string& sql) {
  const Tree statement = parse_single(sql);
  Tree select = field(statement, "SelectStmt");
  const Tree targets = field(select, "targetList");
  if (targets.size() != 1) return nullptr;
  select.erase("targetList");
  static const Tree bare = [] {
    Tree tree = field(parse_single("SELECT 1"), "SelectStmt");
    tree.erase("targetList");
    return tree;
  }();
  if (select != bare) return nullptr;
  const Tree target = field(targets[0], "ResTarget");
  return target.size() == 1 ? field(target, "val") : Tree(nullptr);
}

}  // namespace

Tree parse_single(const std::string& sql) {
  const auto parsed = parse_sql(sql);
  const Tree* tree = std::get_if<Tree>(&parsed);
  if (tree == nullptr) return nullptr;
  const Tree& statements = field(*tree, "stmts");
  if (statements.size() != 1) return nullptr;
  return without_locations(field(statements[0], "stmt"));
}

// A newline before what follows a slice: it would end a comment in it.
Tree parse_expression(std::string_view sql) {
  return only_target(fmt::format("SELECT ({}\n)", sql));
}

Tree parse_table_name(std::string_view sql) {
  const Tree statement = parse_single(fmt::format("TRUNCATE {}\n", sql));
  const Tree& truncate = field(statement, "TruncateStmt");
  const Tree& tables = field(truncate, "relations");
  if (tables.size() != 1 || truncate.size() != 2) return nullptr;
  if (text_field(truncate, "behavior") != "DROP_RESTRICT") return nullptr;
  const Tree& table = field(tables[0], "RangeVar");
  return flag_field(table, "inh") ? table : Tree(nullptr);
}

StatementReader::StatementReader(const SourceText& source, Span span,
                                 const std::vector<Token>& tokens)
    : source_(source), span_(span) {
  for (const Token& token : tokens) {
    if (token.kind == Token::Kind::kComment) continue;
    if (token.span.begin < span.begin || token.span.end > span.end) continue;
    tokens_.push_back(token);
  }
}

void StatementReader::refuse(std::size_t offset, std::string message,
                             std::string remedy) const {
  ScriptProblem problem{.kind = ScriptProblem::Kind::kRefused,
                        .place = source_.place(offset),
                        .message = std::move(message),
                        .remedy = std::move(remedy),
                        .formatted = {}};
  problem.formatted =
      source_.message_at(offset, problem.message, problem.remedy);
  throw ScriptError({std::move(problem)});
}

void StatementReader::refuse_uncertain(std::size_t offset,
                                       std::string_view what) const {
  refuse(offset,
         fmt::format("where {} ends here cannot be told for certain", what),
         "put it in parentheses, or write it more simply; pgrecast does not "
         "guess");
}

std::string_view StatementReader::token(std::size_t index) const {
  return index < end() ? source_.slice(tokens_[index].span)
                       : std::string_view();
}

std::size_t StatementReader::offset(std::size_t index) const {
  return index < end() ? tokens_[index].span.begin : span_.end;
}

Span StatementReader::span_of(std::size_t begin, std::size_t end_index) const {
  if (begin >= end_index || end_index > end()) {
    refuse_uncertain(offset(begin), "this part");
  }
  return {tokens_[begin].span.begin, tokens_[end_index - 1].span.end};
}

std::size_t StatementReader::index_at(std::size_t offset) const {
  const auto found = std::lower_bound(
      tokens_.begin(), tokens_.end(), offset,
      [](const Token& token, std::size_t at) { return token.span.begin < at; });
  if (found == tokens_.end() || found->span.begin != offset) {
    refuse_uncertain(std::clamp(offset, span_.begin, span_.end), "what begins");
  }
  return static_cast<std::size_t>(found - tokens_.begin());
}

std::size_t StatementReader::index_of(const Tree& node) const {
  const auto at = location(node);
  if (!at) refuse_uncertain(span_.begin, "a part of the statement");
  return index_at(*at);
}

bool StatementReader::is_keyword(std::size_t index,
                                 std::string_view keyword) const {
  return index < end() && tokens_[index].kind == Token::Kind::kKeyword &&
         equal_ignoring_case(token(index), keyword) &&
         (index == 0 || token(index - 1) != ".");
}

bool StatementReader::is(std::size_t index, std::string_view text) const {
  return index < end() && token(index) == text;
}

template <typename Predicate>
std::size_t StatementReader::find_if_at_depth_0(std::size_t from,
                                                std::size_t to,
                                                Predicate matches) const {
  int depth = 0;
  for (std::size_t i = from; i < to; ++i) {
    if (depth == 0 && matches(i)) return i;
    if (is(i, "(") || is(i, "[")) ++depth;
    if (is(i, ")") || is(i, "]")) --depth;
  }
  return to;
}

std::size_t StatementReader::find_keyword(std::size_t from, std::size_t to,
                                          std::string_view keyword) const {
  return find_if_at_depth_0(
      from, to, [&](std::size_t i) { return is_keyword(i, keyword); });
}

std::size_t StatementReader::find(std::size_t from, std::size_t to,
                                  std::string_view text) const {
  return find_if_at_depth_0(from, to,
                            [&](std::size_t i) { return is(i, text); });
}

std::size_t StatementReader::behind_parenthesis(std::size_t open) const {
  const std::size_t close = find(open + 1, end(), ")");
  return close == end() ? close : close + 1;
}

std::size_t StatementReader::behind_name(std::size_t index) const {
  const std::size_t next = index + 1;
  const bool escaped = is_keyword(next, "uescape") && next + 1 < end();
  return escaped ? next + 2 : next;
}

std::size_t StatementReader::behind_qualified_name(std::size_t index) const {
  std::size_t behind = behind_name(index);
  while (is(behind, ".")) behind = behind_name(behind + 1);
  return behind;
}

std::string StatementReader::around(std::string_view before, Span slice,
                                    std::string_view after) const {
  return fmt::format("{}{}\n{}", before, source_.slice(slice), after);
}

// Integer constants that are negative look like 0 in the tree (libpg_query
// 15-4.0 prints only those above 0). Slices are whole tokens, and one that
// began or ended elsewhere than its expression would differ in more than that.
void StatementReader::prove(Span slice, const Tree& expected,
                            const Tree& actual, std::string_view what) const {
  if (actual.is_null() || actual != without_locations(expected)) {
    refuse_uncertain(slice.begin, what);
  }
}

bool StatementReader::is_expression(Span slice, const Tree& expected) const {
  const Tree actual = parse_expression(source_.slice(slice));
  return !actual.is_null() && actual == without_locations(expected);
}

void StatementReader::prove_expression(Span slice, const Tree& expected) const {
  prove(slice, expected, parse_expression(source_.slice(slice)),
        "the expression");
}

void StatementReader::prove_type(Span slice, const Tree& type_name) const {
  const Tree cast = only_target(around("SELECT CAST(NULL AS ", slice, ")"));
  prove(slice, type_name, field(field(cast, "TypeCast"), "typeName"),
        "the type");
}

void StatementReader::prove_collation(Span slice,
                                      const Tree& collation_name) const {
  const Tree clause = only_target(around("SELECT NULL COLLATE ", slice, ""));
  prove(slice, collation_name,
        field(field(clause, "CollateClause"), "collname"), "the collation");
}

void StatementReader::prove_table(Span slice, const Tree& range_var) const {
  Tree expected = without_locations(range_var);
  expected.erase("alias");
  expected["inh"] = true;
  prove(slice, expected, parse_table_name(source_.slice(slice)), "the name");
}

void StatementReader::prove_subcommand(Span slice, const Tree& command) const {
  const Tree statement = parse_single(around("ALTER TABLE t ", slice, ""));
  const Tree& commands = field(field(statement, "AlterTableStmt"), "cmds");
  prove(slice, command, commands.size() == 1 ? commands[0] : Tree(nullptr),
        "the subcommand");
}

void StatementReader::prove_name(Span slice,
                                 const std::optional<std::string>& schema,
                                 const std::string& name) const {
  const Tree parsed = parse_table_name(source_.slice(slice));
  const bool same = !parsed.is_null() &&
                    text_field(parsed, "relname") == name &&
                    has(parsed, "schemaname") == schema.has_value() &&
                    text_field(parsed, "schemaname") == schema.value_or("") &&
                    !has(parsed, "catalogname");
  if (!same) refuse_uncertain(slice.begin, "the name");
}

ObjectName StatementReader::object_name(std::size_t begin,
                                        std::vector<std::string> parts) const {
  ObjectName object;
  object.span = span_of(begin, behind_qualified_name(begin));
  if (parts.empty() || parts.size() > 2) {
    refuse(object.span.begin, "the name has three parts",
           "leave the database's name out");
  }
  object.name = std::move(parts.back());
  if (parts.size() == 2) object.schema = std::move(parts.front());
  prove_name(object.span, object.schema, object.name);
  return object;
}

TableName StatementReader::table_name(std::size_t begin, std::size_t end,
                                      std::vector<std::string> parts) const {
  TableName table;
  table.span = span_of(begin, end);
  if (parts.empty() || parts.size() > 2) {
    refuse(table.span.begin, "the table's name has three parts",
           "leave the database's name out");
  }
  table.name = std::move(parts.back());
  if (parts.size() == 2) table.schema = std::move(parts.front());
  prove_name(table.span, table.schema, table.name);
  return table;
}

TableName StatementReader::table_name(const Tree& range_var) const {
  const std::size_t begin = index_of(range_var);
  TableName table;
  table.name = text_field(range_var, "relname");
  table.only = !flag_field(range_var, "inh");
  table.span = span_of(begin, behind_qualified_name(begin));
  if (has(range_var, "catalogname")) {
    refuse(table.span.begin, "the table's name has three parts",
           "leave the database's name out");
  }
  if (has(range_var, "schemaname")) {
    table.schema = text_field(range_var, "schemaname");
  }
  prove_table(table.span, range_var);
  return table;
}

}  // namespace pgrecast::script
