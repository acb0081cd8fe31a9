#pragma once

#include <string>
#include <string_view>
#include <vector>

// The only way by which text enters a statement. Values go as parameters
// wherever the server takes them there. The sessions' client encoding is UTF-8
// (or the server's SQL_ASCII), in which no byte of a longer sequence looks like
// a quote or a backslash.
namespace pgrecast::pg {

// Always within double quotes, so that no keyword needs to be known.
std::string quote_identifier(std::string_view name);

// schema.name, both quoted.
std::string quote_qualified(std::string_view schema, std::string_view name);

// A string constant, right whatever standard_conforming_strings says.
std::string quote_literal(std::string_view text);

// {"a","b"}: the text form of a one-dimensional text array, to be passed as a
// parameter. No element is NULL.
std::string array_literal(const std::vector<std::string_view>& elements);
std::string array_literal(const std::vector<std::string>& elements);

}  // namespace pgrecast::pg
