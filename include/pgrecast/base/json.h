#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace pgrecast {

// For what is read again by us. Throws Refused where a text in it is not UTF-8,
// and shows it: a name, or a definition, of a database of encoding SQL_ASCII.
// (From all others the server converts what it sends.)
std::string recorded_json(const nlohmann::json& value);

// `text`, or where it is not UTF-8 what can be compared in its place: the bytes
// beyond ASCII as \xE9.
std::string utf8_or_escaped(const std::string& text);

// For people and their programs: what is not UTF-8 is replaced (U+FFFD). Lines
// where `indent` is given.
std::string shown_json(const nlohmann::json& value, int indent = -1);

}  // namespace pgrecast
