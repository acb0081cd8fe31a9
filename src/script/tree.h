#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The parser's tree as JSON: {"NodeName": {"field": ..}}. Fields that are zero,
// false or empty are left out. Private to the layer: no public header knows it.
namespace pgrecast::script {

using Tree = nlohmann::json;

// The field, or null when the node does not have it.
const Tree& field(const Tree& node, const char* name);

// Empty, false, 0 for a field that is not there.
std::string text_field(const Tree& node, const char* name);
bool flag_field(const Tree& node, const char* name);

bool has(const Tree& node, const char* name);

// The node's byte offset in the text that was parsed; nullopt where the parser
// knows none.
std::optional<std::size_t> location(const Tree& node);

// The location that comes first in the text, of all below the node.
std::optional<std::size_t> first_location(const Tree& node);

// Names of a list of String nodes: ["pg_catalog", "int8"]. Other nodes (a star)
// give an empty string, which no identifier is.
std::vector<std::string> string_list(const Tree& list);

// Of a Constraint node: whether it is a foreign key; whether it only says more
// of the one before it, as DEFERRABLE does.
bool is_foreign_key(const Tree& constraint);
bool is_attribute(const Tree& constraint);

// Without the locations: equal for two pieces of SQL that mean the same,
// wherever they stand.
Tree without_locations(const Tree& tree);

}  // namespace pgrecast::script
