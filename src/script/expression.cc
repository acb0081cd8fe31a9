#include "expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

namespace pgrecast::script {
namespace {

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return result;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

template <typename T>
void add_once(std::vector<T>& list, T value) {
  if (std::find(list.begin(), list.end(), value) == list.end()) {
    list.push_back(std::move(value));
  }
}

QualifiedName qualified(std::vector<std::string> parts) {
  QualifiedName result;
  if (parts.empty()) return result;
  result.name = std::move(parts.back());
  parts.pop_back();
  if (!parts.empty()) result.schema = std::move(parts.back());
  return result;
}

// pg_attribute's own; no user column can have these names.
bool is_system_column(std::string_view name) {
  constexpr std::array<std::string_view, 6> kNames{"ctid", "xmin", "xmax",
                                                   "cmin", "cmax", "tableoid"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

// Whether one of the words is in it that the server's date and time input takes
// as the present (manual, "Special Values"). '[now,infinity)' is a range.
bool has_date_word(std::string_view text) {
  constexpr std::array<std::string_view, 4> kWords{"now", "today", "tomorrow",
                                                   "yesterday"};
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  auto begin = text.begin();
  while (begin != text.end()) {
    begin = std::find_if(begin, text.end(), is_letter);
    const auto end = std::find_if_not(begin, text.end(), is_letter);
    const std::string word = lower(std::string_view(begin, end));
    const bool is_call = end != text.end() && *end == '(';
    if (!is_call &&
        std::find(kWords.begin(), kWords.end(), word) != kWords.end()) {
      return true;
    }
    begin = end;
  }
  return false;
}

// Walks one expression's tree.
class FactsCollector {
 public:
  FactsCollector(const StatementReader& reader, const ExpressionScope& scope,
                 Span span)
      : reader_(reader), scope_(scope), span_(span) {}

  void visit(const Tree& tree) {
    if (tree.is_array()) {
      for (const Tree& item : tree) visit(item);
      return;
    }
    if (!tree.is_object()) return;
    for (const auto& [name, node] : tree.items()) {
      if (node.is_object()) visit_node(name, node);
      visit(node);
    }
  }

  // In the text's order: the tree's is that of its field names.
  ExpressionFacts take() {
    const auto by_begin = [](const auto& a, const auto& b) {
      return a.span.begin < b.span.begin;
    };
    std::sort(facts_.columns.begin(), facts_.columns.end(), by_begin);
    std::sort(facts_.sql_values.begin(), facts_.sql_values.end(), by_begin);
    std::sort(facts_.functions.begin(), facts_.functions.end(),
              [](const FunctionUse& a, const FunctionUse& b) {
                return a.begin < b.begin;
              });
    return std::move(facts_);
  }

 private:
  void visit_node(const std::string& name, const Tree& node) {
    refuse_what_is_no_value(name, node);
    if (name == "ColumnRef") {
      visit_column(node);
    } else if (name == "FuncCall") {
      visit_function(node);
    } else if (name == "SQLValueFunction") {
      visit_sql_value(node);
    } else if (name == "A_Expr") {
      visit_operator(node);
    } else if (name == "SubLink") {
      refuse(node, "a sub-select reads other tables",
             "write an expression over the row's own columns; pgrecast "
             "evaluates it again whenever the row changes");
    } else if (name == "A_Indirection") {
      visit_indirection(node);
    } else if (name == "TypeCast") {
      facts_.has_cast = true;
    } else if (name == "A_Const") {
      visit_constant(node);
    }
  }

  void refuse_what_is_no_value(const std::string& name, const Tree& node) {
    if (name == "ParamRef") {
      refuse(node, "a parameter ($1) has no value in a script",
             "write the value");
    }
    if (name == "SetToDefault") {
      refuse(node, "DEFAULT is no expression of the row",
             "write the default's expression out");
    }
    if (name == "CurrentOfExpr") {
      reader_.refuse(span_.begin, "WHERE CURRENT OF needs a cursor",
                     "write a condition over the row's columns");
    }
    if (name == "GroupingFunc") {
      refuse(node, "GROUPING reads other rows",
             "write an expression over the row's own columns");
    }
  }

  [[noreturn]] void refuse(const Tree& node, std::string message,
                           std::string remedy) const {
    reader_.refuse(first_location(node).value_or(span_.begin),
                   std::move(message), std::move(remedy));
  }

  void visit_column(const Tree& node) {
    std::vector<std::string> parts = string_list(field(node, "fields"));
    if (parts.back().empty()) {
      refuse(node, "a whole row (*) is not a value of the table's shape",
             "name the columns");
    }
    if (parts.size() > 2) {
      refuse(node,
             fmt::format("the column {} is qualified with a schema, and the "
                         "shadow is in another one",
                         parts.back()),
             fmt::format("write {}.{}", qualifier(), parts.back()));
    }
    if (is_system_column(parts.back())) {
      refuse(node,
             fmt::format("the system column {} differs in the new table",
                         parts.back()),
             "write an expression over the table's own columns");
    }
    ColumnUse use;
    if (parts.size() == 2) {
      check_qualifier(node, parts.front());
      use.qualifier = std::move(parts.front());
    }
    use.name = std::move(parts.back());
    const std::size_t begin = reader_.index_of(node);
    use.span = reader_.span_of(begin, reader_.behind_qualified_name(begin));
    reader_.prove_expression(use.span, Tree{{"ColumnRef", node}});
    facts_.columns.push_back(std::move(use));
  }

  const std::string& qualifier() const {
    return scope_.alias ? *scope_.alias : scope_.table.name;
  }

  void check_qualifier(const Tree& node, const std::string& written) const {
    if (written == qualifier()) return;
    refuse(
        node,
        fmt::format("{} is not the table that the statement is about", written),
        fmt::format("write {}, or leave it out", qualifier()));
  }

  void visit_function(const Tree& node) {
    if (has(node, "over")) {
      refuse(node, "a window function reads other rows",
             "write an expression over the row's own columns");
    }
    const auto begin = location(node);
    FunctionUse use;
    use.function = qualified(string_list(field(node, "funcname")));
    use.begin = begin.value_or(span_.begin);
    if (begin) use.call = call_at(*begin, node);
    facts_.functions.push_back(std::move(use));
  }

  // f(..) from its name to the closing parenthesis, if it is written so.
  std::optional<Span> call_at(std::size_t begin, const Tree& node) const {
    const std::size_t first = reader_.index_at(begin);
    const std::size_t open = reader_.behind_qualified_name(first);
    if (!reader_.is(open, "(")) return std::nullopt;
    const Span call = reader_.span_of(first, reader_.behind_parenthesis(open));
    if (!reader_.is_expression(call, Tree{{"FuncCall", node}})) {
      return std::nullopt;
    }
    return call;
  }

  void visit_sql_value(const Tree& node) {
    const std::size_t begin = reader_.index_of(node);
    std::size_t end = begin + 1;
    const Tree tree{{"SQLValueFunction", node}};
    // Only those with a precision have one; `current_user (1)` is no SQL.
    if (reader_.is(end, "(")) end = reader_.behind_parenthesis(end);
    const Span span = reader_.span_of(begin, end);
    reader_.prove_expression(span, tree);
    facts_.sql_values.push_back(
        {.keyword = upper(reader_.token(begin)), .span = span});
  }

  void visit_operator(const Tree& node) {
    const QualifiedName name = qualified(string_list(field(node, "name")));
    if (text_field(node, "kind").find("BETWEEN") == std::string::npos) {
      add_once(facts_.operators, name);
      return;
    }
    // The grammar spells these by their keywords; the server makes them these.
    add_once(facts_.operators, {std::nullopt, ">="});
    add_once(facts_.operators, {std::nullopt, "<="});
  }

  void visit_indirection(const Tree& node) {
    for (const Tree& part : field(node, "indirection")) {
      if (has(part, "A_Star")) {
        refuse(node, "a whole row (*) is not a value of the table's shape",
               "name the fields");
      }
      if (has(part, "String")) {
        add_once(facts_.fields, text_field(field(part, "String"), "sval"));
      }
    }
  }

  void visit_constant(const Tree& node) {
    if (has_date_word(text_field(field(node, "sval"), "sval"))) {
      facts_.has_date_word = true;
    }
  }

  const StatementReader& reader_;
  const ExpressionScope& scope_;
  Span span_;
  ExpressionFacts facts_;
};

}  // namespace

Expression take_expression(const StatementReader& reader,
                           const ExpressionScope& scope, std::size_t begin,
                           std::size_t end, const Tree& tree) {
  const Span span = reader.span_of(begin, end);
  // First what is no expression at all (DEFAULT, CURRENT OF) or has a reason of
  // its own to be refused; then the proof.
  FactsCollector collector(reader, scope, span);
  collector.visit(tree);
  reader.prove_expression(span, tree);
  Expression expression{.span = span, .facts = collector.take()};
  expression.facts.is_constant = has(tree, "A_Const");
  return expression;
}

}  // namespace pgrecast::script
