#include "tree.h"

#include <algorithm>
#include <vector>

namespace pgrecast::script {
namespace {

const Tree kNothing;

bool is_location(const std::string& name) {
  return name == "location" || name == "stmt_location" || name == "stmt_len";
}

}  // namespace

const Tree& field(const Tree& node, const char* name) {
  if (!node.is_object()) return kNothing;
  const auto found = node.find(name);
  return found == node.end() ? kNothing : *found;
}

std::string text_field(const Tree& node, const char* name) {
  const Tree& value = field(node, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

bool flag_field(const Tree& node, const char* name) {
  const Tree& value = field(node, name);
  return value.is_boolean() && value.get<bool>();
}

bool has(const Tree& node, const char* name) {
  return !field(node, name).is_null();
}

std::optional<std::size_t> location(const Tree& node) {
  const Tree& value = field(node, "location");
  if (!value.is_number_unsigned()) return std::nullopt;
  return value.get<std::size_t>();
}

std::optional<std::size_t> first_location(const Tree& node) {
  std::optional<std::size_t> first = location(node);
  if (!node.is_structured()) return first;
  for (const Tree& child : node) {
    const auto below = first_location(child);
    if (below && (!first || *below < *first)) first = below;
  }
  return first;
}

std::vector<std::string> string_list(const Tree& list) {
  std::vector<std::string> names;
  for (const Tree& item : list) {
    names.push_back(text_field(field(item, "String"), "sval"));
  }
  return names;
}

bool is_foreign_key(const Tree& constraint) {
  return text_field(constraint, "contype") == "CONSTR_FOREIGN";
}

bool is_attribute(const Tree& constraint) {
  return text_field(constraint, "contype").starts_with("CONSTR_ATTR_");
}

Tree without_locations(const Tree& tree) {
  if (tree.is_array()) {
    Tree result = Tree::array();
    for (const Tree& item : tree) result.push_back(without_locations(item));
    return result;
  }
  if (!tree.is_object()) return tree;
  Tree result = Tree::object();
  for (const auto& [name, value] : tree.items()) {
    if (!is_location(name)) result[name] = without_locations(value);
  }
  return result;
}

}  // namespace pgrecast::script
