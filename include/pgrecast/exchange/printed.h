#pragma once

#include <string>
#include <string_view>

namespace pgrecast::exchange {

// A definition as the server prints it, less casts and brackets. Where a
// column's type changes, the server prints the same condition with other ones:
// `(amount % 50)` of an integer becomes `(amount % (50)::bigint)`.
//
// Literals and quoted names stay as they are.
std::string without_casts(std::string_view printed);

}  // namespace pgrecast::exchange
