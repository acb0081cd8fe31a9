#include "node_tree.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <utility>

namespace pgrecast::plan {
namespace {

// An atom, a list, or a node with fields.
struct Value {
  enum class Kind { kAtom, kList, kNode };

  Kind kind = Kind::kAtom;
  std::string text;                // an atom's, or a node's name
  std::vector<Value> items;        // a list's, or the fields' values
  std::vector<std::string> names;  // of a node's fields, one an item

  const Value* field(std::string_view name) const {
    const auto found = std::find(names.begin(), names.end(), name);
    if (kind != Kind::kNode || found == names.end()) return nullptr;
    return &items[static_cast<std::size_t>(found - names.begin())];
  }
};

Oid oid_of(const Value* value) {
  Oid oid = 0;
  if (value == nullptr) return oid;
  const char* begin = value->text.data();
  std::from_chars(begin, begin + value->text.size(), oid);
  return oid;
}

// The text format of the server's outfuncs.c. A name may begin with a colon,
// so what stands behind a field's name is a value whatever it looks like.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::optional<Value> read() {
    Value value = take();
    skip_blanks();
    if (failed_ || at_ != text_.size()) return std::nullopt;
    return value;
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) {
      ++at_;
    }
  }

  bool next_is(char c) {
    skip_blanks();
    return at_ < text_.size() && text_[at_] == c;
  }

  Value take() {
    if (next_is('{')) return take_node();
    if (next_is('(')) return take_list();
    return take_atom();
  }

  Value take_atom() {
    Value value;
    skip_blanks();
    while (at_ < text_.size() && std::string_view(" \n(){}").find(text_[at_]) ==
                                     std::string_view::npos) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      value.text += text_[at_++];
    }
    if (value.text.empty()) failed_ = true;
    return value;
  }

  Value take_list() {
    Value value;
    value.kind = Value::Kind::kList;
    ++at_;
    while (!next_is(')')) {
      if (!may_go_deeper()) return value;
      value.items.push_back(take());
      --depth_;
    }
    ++at_;
    return value;
  }

  Value take_node() {
    Value value;
    value.kind = Value::Kind::kNode;
    ++at_;
    value.text = take_atom().text;
    while (!next_is('}')) {
      if (!may_go_deeper()) return value;
      std::string name = take_atom().text;
      if (!name.empty()) name.erase(0, 1);
      value.names.push_back(std::move(name));
      value.items.push_back(take());
      // A constant's bytes, for instance: nothing that matters here.
      while (!failed_ && !next_is(':') && !next_is('}')) take();
      --depth_;
    }
    ++at_;
    return value;
  }

  bool may_go_deeper() {
    constexpr int kDepthMax = 1000;
    skip_blanks();
    if (at_ >= text_.size() || ++depth_ > kDepthMax) failed_ = true;
    return !failed_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
};

// Older servers leave EXPR out of some names.
std::string kind_of(const Value& node) {
  std::string kind = node.text;
  if (kind.ends_with("EXPR")) kind.erase(kind.size() - 4);
  return kind;
}

Oid type_of(const Value& node) {
  constexpr std::array kTypeFields{
      "vartype",      "consttype",  "funcresulttype", "opresulttype",
      "resulttype",   "casetype",   "coalescetype",   "minmaxtype",
      "array_typeid", "row_typeid", "refrestype",     "type",
      "typeId"};
  for (const char* name : kTypeFields) {
    if (const Value* field = node.field(name)) return oid_of(field);
  }
  const std::string kind = kind_of(node);
  constexpr Oid kBool = 16;
  constexpr std::array kTruths{"NULLTEST", "BOOL", "BOOLEANTEST",
                               "SCALARARRAYOP", "ROWCOMPARE"};
  if (std::find(kTruths.begin(), kTruths.end(), kind) != kTruths.end()) {
    return kBool;
  }
  const Value* arg = node.field("arg");  // COLLATE, NAMEDARG
  return arg == nullptr ? 0 : type_of(*arg);
}

std::vector<Oid> argument_types(const Value& node) {
  std::vector<Oid> types;
  if (const Value* args = node.field("args")) {
    for (const Value& arg : args->items) types.push_back(type_of(arg));
  }
  return types;
}

class Collector {
 public:
  std::vector<NodeUse> take() { return std::move(uses_); }

  void visit(const Value& value) {
    if (value.kind == Value::Kind::kNode) visit_node(value);
    for (const Value& item : value.items) visit(item);
  }

 private:
  void visit_node(const Value& node) {
    const std::string kind = kind_of(node);
    if (kind == "FUNC") {
      add(NodeUse::Kind::kFunction, oid_of(node.field("funcid")),
          argument_types(node));
    } else if (node.field("opno") != nullptr) {
      add(NodeUse::Kind::kOperator, oid_of(node.field("opno")),
          argument_types(node));
    } else if (kind == "COERCEVIAIO") {
      const Value* arg = node.field("arg");
      add(NodeUse::Kind::kOutput, arg == nullptr ? 0 : type_of(*arg), {});
      add(NodeUse::Kind::kInput, oid_of(node.field("resulttype")), {});
    } else if (kind == "NEXTVALUE") {
      uses_.push_back({NodeUse::Kind::kOther, 0, {}, "an identity's sequence"});
    } else if (kind == "SQLVALUEFUNCTION") {
      uses_.push_back({NodeUse::Kind::kCurrent, 0, {}, "the session"});
    } else if (!is_plain(kind)) {
      uses_.push_back({NodeUse::Kind::kOther, 0, {}, node.text});
    }
  }

  // Nothing but what is in them decides what they give.
  static bool is_plain(const std::string& kind) {
    constexpr std::array kPlain{
        "TARGETENTRY", "VAR",         "CONST",          "NAMEDARG",
        "BOOL",        "RELABELTYPE", "ARRAYCOERCE",    "COLLATE",
        "CASE",        "CASEWHEN",    "WHEN",           "CASETEST",
        "ARRAY",       "ROW",         "ROWCOMPARE",     "COALESCE",
        "MINMAX",      "NULLTEST",    "BOOLEANTEST",    "COERCETODOMAIN",
        "FIELDSELECT", "FIELDSTORE",  "SUBSCRIPTINGREF"};
    return std::find(kPlain.begin(), kPlain.end(), kind) != kPlain.end();
  }

  void add(NodeUse::Kind kind, Oid oid, std::vector<Oid> arguments) {
    uses_.push_back({kind, oid, std::move(arguments), ""});
  }

  std::vector<NodeUse> uses_;
};

}  // namespace

std::vector<NodeUse> read_uses(std::string_view tree) {
  const std::optional<Value> value = Reader(tree).read();
  Collector collector;
  if (!value) {
    return {{NodeUse::Kind::kOther, 0, {}, "what the server stores of it"}};
  }
  const Value* root = &*value;
  // A view's: a list of one query.
  if (root->kind == Value::Kind::kList && root->items.size() == 1) {
    if (const Value* list = root->items[0].field("targetList")) root = list;
  }
  collector.visit(*root);
  return collector.take();
}

}  // namespace pgrecast::plan
