#pragma once

#include "pgrecast/script/source_text.h"

#include "tree.h"

#include <cstddef>
#include <optional>
#include <string>
#include <variant>
#include <vector>

// PostgreSQL's own parser and scanner. The only door to libpg_query: its header
// is included by postgres_parser.cc alone, so that the library of a newer
// version drops in there.
namespace pgrecast::script {

// The server's major version whose grammar this is.
int parser_version();

struct SyntaxError {
  std::string message;     // the server's own words
  std::size_t offset = 0;  // in bytes
};

// {"version": .., "stmts": [..]}, or why not. The text must be valid UTF-8
// without zero bytes. Thread-safe.
std::variant<Tree, SyntaxError> parse_sql(const std::string& text);

// A token, comments included. Strings with their continuation lines, dollar
// quotes and quoted identifiers are one token each; U&'..' and U&".." leave
// their UESCAPE clause to two further tokens.
struct Token {
  enum class Kind { kOther, kWord, kKeyword, kComment };

  Span span;
  Kind kind = Kind::kOther;  // kWord: an identifier, quoted or not
};

// nullopt where the text ends inside a string, a comment or a quoted name.
// Between tokens there is nothing but white space: that was checked.
std::optional<std::vector<Token>> scan_sql(const std::string& text);

}  // namespace pgrecast::script
